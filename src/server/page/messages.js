// The list of messages: bounded, drawn in batches. Messages are strangers' input: they become text nodes, never markup.

const MESSAGES_MAX = 500; // in the list, and waiting to be shown
const RATE_SECONDS = 5;

const $ = (id) => document.getElementById(id);
const list = $("messages");
let arrived = []; // not yet shown
let drawing = false;
let total = 0;
let perSecond = [0]; // this second first

/** Shows a message: a string or an ArrayBuffer, with its offset if it is known. */
export function receive(data, { offset, replayed }) {
  total += 1;
  perSecond[0] += 1;
  arrive({ data, offset, replayed, at: new Date() });
}

/** Shows a line of the page's own; `kind` is good, bad or soft. */
export function note(kind, text) {
  arrive({ kind, text, at: new Date() });
}

export function clear() {
  list.replaceChildren();
  [arrived, total, perSecond] = [[], 0, [0]];
  $("empty").hidden = false;
  $("newest").hidden = true;
}

/** Once a second: the rate. */
export function everySecond() {
  showFigures();
  perSecond = [0, ...perSecond].slice(0, RATE_SECONDS);
}

function arrive(entry) {
  arrived.push(entry);
  if (arrived.length > 2 * MESSAGES_MAX) arrived = arrived.slice(-MESSAGES_MAX);
  if (drawing) return;
  drawing = true;
  if (document.hidden) setTimeout(draw, 100); // a hidden page gets no animation frames
  else requestAnimationFrame(draw);
}

function draw() {
  drawing = false;
  const following = atEnd();
  const items = document.createDocumentFragment();
  for (const entry of arrived.slice(-MESSAGES_MAX)) items.append(item(entry));
  arrived = [];
  list.append(items);
  while (list.childElementCount > MESSAGES_MAX) list.firstElementChild.remove();
  $("empty").hidden = list.childElementCount > 0;
  if (following) list.scrollTop = list.scrollHeight;
  else $("newest").hidden = false;
  showFigures();
}

function item({ kind, text, data, offset, replayed, at }) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.append(at.toLocaleTimeString());
  if (offset !== undefined) time.dataset.offset = offset;
  line.append(time);
  if (kind !== undefined) {
    line.className = `note ${kind}`;
    line.append(text);
    return line;
  }
  const chat = chatMessage(data);
  if (chat !== undefined) {
    const name = document.createElement("b");
    name.append(chat.name.trim().slice(0, 64) || "anonymous");
    line.append(name, chat.text);
    line.classList.toggle("mine", chat.name === $("name").value.trim());
  } else {
    const isText = typeof data === "string";
    line.className = isText ? "plain" : "binary";
    line.append(isText ? data : `binary, ${data.byteLength} bytes`);
  }
  line.classList.toggle("replayed", Boolean(replayed));
  return line;
}

// {"name":…,"text":…}, as `shardcast chat` writes it too.
function chatMessage(data) {
  try {
    const { name, text } = JSON.parse(data);
    return typeof name === "string" && typeof text === "string" ? { name, text } : undefined;
  } catch {
    return undefined;
  }
}

function showFigures() {
  const rate = perSecond.reduce((sum, count) => sum + count, 0) / perSecond.length;
  const figure = rate >= 10 ? Math.round(rate).toLocaleString() : rate.toFixed(1);
  $("rate").textContent = `${figure} messages/s · ${total.toLocaleString()} in all`;
  list.ariaLive = rate > 2 ? "off" : "polite"; // read out loud only what a person can follow
}

const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 40;
list.addEventListener("scroll", () => atEnd() && ($("newest").hidden = true));
$("newest").addEventListener("click", () => (list.scrollTop = list.scrollHeight));
