// A room in a page: chat, push over HTTP, and the lines of code that do the same elsewhere.
// Messages are strangers' input: they become text nodes, never markup.
"use strict";

const MESSAGES_MAX = 500; // in the list, and waiting to be shown
const UNSENT_MAX = 100; // typed while there is no connection
const DELAY_FIRST_MS = 500;
const DELAY_MAX_MS = 15000;
const GOOD_AFTER_MS = 5000; // a connection that lasted so long starts the delays anew
const RATE_SECONDS = 5;
const ROOM_NAME = /^[-A-Za-z0-9_.~:@#$&!'()+,;=]{1,255}$/;

const $ = (id) => document.getElementById(id);

// --- Where the room is ---

const base = new URL(".", document.baseURI);
// Of a room name's alphabet only `#` cannot stand in a path.
const inPath = (name) => name.replaceAll("#", "%23");
const publishUrl = (name) => new URL(`rooms/${inPath(name)}`, base).href;
const socketUrl = (name) => new URL(`ws/${inPath(name)}`, base).href.replace(/^http/, "ws");

function roomOfAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || new URLSearchParams(location.search).get("room") || "";
  } catch {
    return ""; // a stray % in the address
  }
}

// --- The list of messages ---

const list = $("messages");
let arrived = []; // not yet shown
let drawing = false;
let total = 0;
let perSecond = [0]; // this second first

function receive(data) {
  total += 1;
  perSecond[0] += 1;
  arrived.push({ data, at: new Date() });
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
  for (const message of arrived.slice(-MESSAGES_MAX)) items.append(item(message));
  arrived = [];
  list.append(items);
  while (list.childElementCount > MESSAGES_MAX) list.firstElementChild.remove();
  $("empty").hidden = list.childElementCount > 0;
  if (following) list.scrollTop = list.scrollHeight;
  else $("newest").hidden = false;
  showFigures();
}

function item({ data, at }) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.append(at.toLocaleTimeString());
  line.append(time);
  const chat = chatMessage(data);
  if (chat !== undefined) {
    const name = document.createElement("b");
    name.append(chat.name.trim().slice(0, 64) || "anonymous");
    line.append(name, chat.text);
    line.classList.toggle("mine", chat.name === $("name").value.trim());
  } else {
    const text = typeof data === "string";
    line.className = text ? "plain" : "binary";
    line.append(text ? data : `binary, ${data.byteLength} bytes`);
  }
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

function everySecond() {
  showFigures();
  perSecond = [0, ...perSecond].slice(0, RATE_SECONDS);
  if (retryAt !== undefined) showWait();
}

const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 40;
list.addEventListener("scroll", () => atEnd() && ($("newest").hidden = true));
$("newest").addEventListener("click", () => (list.scrollTop = list.scrollHeight));

// --- The connection ---

let room = "";
let unsent = [];
let failures = 0;
let [socket, timer, retryAt, why] = []; // the last two while waiting for the next try

function show(state, text) {
  $("state").dataset.state = state;
  $("state-text").textContent = text;
}

function showWait() {
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const waiting = unsent.length > 0 ? `, ${unsent.length} to send` : "";
  show("waiting", `${why}: again in ${seconds} s${waiting}`);
}

function connect() {
  clearTimeout(timer);
  retryAt = undefined;
  socket?.close(1000);
  show("connecting", "connecting …");
  const current = new WebSocket(socketUrl(room));
  let openedAt;
  socket = current;
  current.binaryType = "arraybuffer";
  current.addEventListener("open", () => {
    if (socket !== current) return;
    openedAt = Date.now();
    show("open", "connected");
    for (const line of unsent.splice(0)) current.send(line);
  });
  current.addEventListener("message", (event) => {
    if (socket === current) receive(event.data);
  });
  current.addEventListener("close", (event) => {
    if (socket !== current) return;
    if (openedAt !== undefined && Date.now() - openedAt >= GOOD_AFTER_MS) failures = 0;
    closed(event);
  });
}

function closed({ code, reason }) {
  socket = undefined;
  const words = [code === 1006 ? "connection lost" : `closed by the server (${code})`, reason].filter(Boolean).join(" ");
  const final = [1000, 1002, 1003, 1007, 1008, 1010].includes(code) || (code >= 3500 && code < 4000) || code >= 4500;
  if (final) return show("refused", words);
  why = words;
  const span = Math.min(DELAY_FIRST_MS * 2 ** failures, DELAY_MAX_MS);
  const drain = code === 1001 || code === 1012 ? Math.random() * 3000 : 0;
  failures += 1;
  const delay = span / 2 + (Math.random() * span) / 2 + drain;
  retryAt = Date.now() + delay;
  timer = setTimeout(connect, delay);
  showWait();
}

// Whoever comes back to the page or the network does not wait for the delay.
function connectNow() {
  if (retryAt !== undefined && !document.hidden) connect();
}

function join(name) {
  if (!ROOM_NAME.test(name)) return false;
  const changed = name !== room;
  room = name;
  $("room").value = name;
  $("room-title").textContent = name;
  document.title = `${name} · shardcast`;
  if (changed) {
    if (roomOfAddress() !== name) history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    list.replaceChildren();
    [arrived, unsent, total, perSecond] = [[], [], 0, [0]];
    $("empty").hidden = false;
    $("newest").hidden = true;
    showCode();
  }
  failures = 0;
  connect();
  return true;
}

function say(text) {
  const line = JSON.stringify({ name: $("name").value.trim() || "anonymous", text });
  if (socket?.readyState === WebSocket.OPEN) socket.send(line);
  else if (unsent.length < UNSENT_MAX) unsent.push(line);
  else return false;
  return true;
}

addEventListener("online", connectNow);
document.addEventListener("visibilitychange", connectNow);
addEventListener("hashchange", () => roomOfAddress() !== room && join(roomOfAddress()));

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  storedName($("name").value.trim());
  if (join($("room").value.trim())) return $("text").focus();
  $("room").setCustomValidity("1 to 255 of: A-Z a-z 0-9 - _ . ~ : @ # $ & ! ' ( ) + , ; =");
  $("room").reportValidity();
});
$("room").addEventListener("input", () => $("room").setCustomValidity(""));
$("name").addEventListener("change", () => storedName($("name").value.trim()));
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (text.trim() !== "" && say(text)) $("text").value = "";
});

// --- Push ---

$("push-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { "Content-Type": "text/plain;charset=utf-8" };
  const key = $("push-key").value.trim();
  if (key !== "") headers.Authorization = `Bearer ${key}`;
  try {
    const response = await fetch(publishUrl(room), { method: "POST", headers, body: $("push-text").value });
    const body = (await response.text()).trim().slice(0, 500);
    if (!response.ok) return answer("bad", `${response.status}: ${body || response.statusText}`);
    const { offset, members } = JSON.parse(body);
    answer("good", `Published: offset ${offset}, ${members} ${members === 1 ? "member" : "members"}`);
  } catch (error) {
    answer("bad", `No answer from the server (${error.message})`);
  }
});

function answer(kind, text) {
  $("push-answer").dataset.answer = kind;
  $("push-answer").textContent = text;
}

// --- Code ---

function showCode() {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  $("curl").textContent = `curl -d 'hello' ${quoted(publishUrl(room))}`;
  $("pipe").textContent = `journalctl -f | shardcast publish ${quoted(publishUrl(room))}`;
  $("browser").textContent = [
    `const room = new WebSocket(${JSON.stringify(socketUrl(room))});`,
    "room.onopen = () => room.send(JSON.stringify({ name: \"me\", text: \"hello\" }));",
    "room.onmessage = (event) => console.log(event.data);",
    "room.onclose = (event) => console.log(\"closed\", event.code, event.reason);",
    "// Every message goes to everyone in the room, its sender included.",
  ].join("\n");
}

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const other of tabs) {
    other.ariaSelected = String(other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  tab.focus();
}

for (const tab of tabs) {
  const other = tabs.find((candidate) => candidate !== tab);
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", ({ key }) => (key === "ArrowLeft" || key === "ArrowRight") && select(other));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const code = $(button.dataset.copy);
    getSelection().selectAllChildren(code); // only secure pages have a clipboard; others leave it to Ctrl-C
    await navigator.clipboard?.writeText(code.textContent);
  });
}

// --- Start ---

// Storage may be forbidden; then nothing is remembered.
function storedName(value) {
  try {
    if (value !== undefined) localStorage.setItem("shardcast.name", value);
    return localStorage.getItem("shardcast.name");
  } catch {
    return null;
  }
}

$("name").value = storedName() || `guest-${Math.random().toString(36).slice(2, 6)}`;
join(roomOfAddress()) || join("lobby");
setInterval(everySecond, 1000);
everySecond();
