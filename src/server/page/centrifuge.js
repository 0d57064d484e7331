// The centrifuge protocol (JSON), without its library: several channels on one connection, each resumed by itself.
// A frame is one or more JSON objects, a line each. `{"id":1,"subscribe":{…}}` goes out, a reply with the same id comes
// back, `{"push":{"channel":…}}` comes unasked, `{}` is a ping.

import { Backoff } from "./backoff.js";
import { centrifugeUrl } from "./ways.js";

const WIRE_LINES_MAX = 200;
const WIRE_LINE_MAX = 2000;
const PING_DELAY_MAX_MS = 10000;
const TEMPORARY_MS = 2000;

const $ = (id) => document.getElementById(id);
const channels = new Map(); // name → { position: { epoch, offset }, count, words, recovered }
const backoff = new Backoff(connect, show);
let [socket, deadline] = [];
let waiting = new Map(); // id → what to do with the reply
let lastId = 0;
let started = false;
let cut = false;

/** Connects at the first call, with one channel. */
export function startCentrifuge(channel) {
  if (started) return;
  started = true;
  channels.set(channel, { count: 0, words: "" });
  $("c-channel").value = `${channel}-2`;
  draw();
  connect();
}

function connect() {
  show("connecting", "connecting …");
  const current = new WebSocket(centrifugeUrl());
  socket = current;
  waiting = new Map();
  const mine = (work) => (event) => socket === current && work(event);
  current.onopen = mine(() => {
    // All in one frame; the server takes them in order.
    const first = command("connect", {}, ({ ping, pong }) => connected(current, ping, pong));
    send(first, ...[...channels.keys()].map(subscription));
  });
  current.onmessage = mine(({ data }) => {
    for (const line of data.trim().split("\n")) read(line);
    deadline?.();
  });
  current.onclose = mine((event) => {
    leave();
    backoff.closed(event);
  });
}

function connected(current, ping, pong) {
  backoff.opened();
  show("open", "connected");
  let timer;
  deadline = () => {
    clearTimeout(timer);
    if (socket === current && ping) timer = setTimeout(lost, ping * 1000 + PING_DELAY_MAX_MS, current);
  };
  deadline.pong = pong;
}

function lost(current) {
  if (socket !== current) return;
  leave();
  backoff.closed({ code: 1006, reason: "(no ping)" });
}

function leave() {
  const current = socket;
  [socket, deadline] = [];
  current?.close();
}

function command(method, parameters, done, failed = (error) => answer("bad", `${method}: ${error.code} ${error.message}`)) {
  const id = ++lastId;
  waiting.set(id, { method, done, failed });
  return { id, [method]: parameters };
}

const isOpen = () => socket?.readyState === WebSocket.OPEN;

function send(...commands) {
  if (!isOpen()) return answer("bad", "not connected");
  const lines = commands.map((one) => JSON.stringify(one));
  for (const line of lines) log("out", line);
  socket.send(lines.join("\n"));
}

function read(line) {
  log("in", line);
  const { id, push, error, ...results } = JSON.parse(line);
  if (push !== undefined) return pushed(push);
  if (id === undefined) return deadline?.pong && send({});
  const { method, done, failed } = waiting.get(id) ?? {};
  waiting.delete(id);
  if (error) failed?.(error);
  else done?.(results[method]);
}

// --- Channels ---

function subscription(name) {
  const { position } = channels.get(name);
  const recover = position === undefined ? {} : { recover: true, ...position };
  return command("subscribe", { channel: name, ...recover }, (result) => subscribed(name, result), (error) => {
    const channel = channels.get(name);
    if (channel === undefined) return;
    channel.words = `refused: ${error.code} ${error.message}`;
    if (error.temporary) setTimeout(() => channels.has(name) && isOpen() && send(subscription(name)), TEMPORARY_MS);
    draw();
  });
}

function subscribed(name, { recoverable, epoch, offset = 0, was_recovering, recovered, publications = [] }) {
  const channel = channels.get(name);
  if (channel === undefined) return;
  channel.position = recoverable ? { epoch: epoch ?? "", offset } : undefined;
  channel.words = was_recovering
    ? recovered ? `resumed: ${publications.length} missed came back` : "lost: what was missed is not kept (room.history_count_max)"
    : recoverable ? "live, recoverable" : "live, without history";
  for (const publication of publications) published(channel, publication);
  draw();
}

function published(channel, { offset }) {
  channel.count += 1;
  if (channel.position && offset > 0) channel.position.offset = offset;
}

function pushed({ channel: name, pub, unsubscribe }) {
  const channel = channels.get(name);
  if (channel === undefined) return;
  if (pub) published(channel, pub);
  if (unsubscribe) {
    channel.words = `unsubscribed: ${unsubscribe.code} ${unsubscribe.reason ?? ""}`;
    if (unsubscribe.code >= 2500) send(subscription(name)); // insufficient state: it comes back with its position
  }
  draw();
}

function remove(name) {
  channels.delete(name);
  if (isOpen()) send(command("unsubscribe", { channel: name }));
  draw();
}

function presence(name) {
  send(command("presence", { channel: name }, ({ presence: clients }) => {
    const users = Object.values(clients).map(({ user, client }) => user || client.slice(0, 8));
    answer("good", `${name}: ${users.length} here: ${users.slice(0, 20).join(", ")}`);
  }));
}

// --- What is seen ---

function show(state, text) {
  $("c-state").dataset.state = state;
  $("c-state-text").textContent = text;
  $("c-cut").textContent = cut ? "Reconnect" : "Cut";
}

function answer(kind, text) {
  $("c-answer").dataset.answer = kind;
  $("c-answer").textContent = text;
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function button(text, label, work) {
  const made = element("button", "quiet small", text);
  made.type = "button";
  made.ariaLabel = label;
  made.addEventListener("click", work);
  return made;
}

function draw() {
  $("c-channels").replaceChildren(...[...channels].map(([name, { position, count, words }]) => {
    const at = position ? `at ${position.epoch}:${position.offset}` : "no position";
    return element("li", "",
      element("b", "", name),
      element("span", "buttons",
        button("Presence", `Presence of ${name}`, () => presence(name)),
        button("Leave", `Unsubscribe from ${name}`, () => remove(name))),
      element("span", "figures", `${at} · ${count} received`),
      element("span", "hint", words));
  }));
  const target = $("c-target").value;
  $("c-target").replaceChildren(...[...channels.keys()].map((name) => new Option(name, name, false, name === target)));
}

function log(direction, line) {
  const wire = $("c-wire");
  const following = wire.scrollHeight - wire.scrollTop - wire.clientHeight < 40;
  const long = line.length > WIRE_LINE_MAX;
  wire.append(element("li", direction, long ? `${line.slice(0, WIRE_LINE_MAX)} …` : line));
  while (wire.childElementCount > WIRE_LINES_MAX) wire.firstElementChild.remove();
  if (following) wire.scrollTop = wire.scrollHeight;
}

$("c-subscribe").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("c-channel").value.trim();
  if (channels.has(name)) return answer("bad", `${name} is subscribed already`);
  channels.set(name, { count: 0, words: "" });
  if (isOpen()) send(subscription(name)); // else with the others, as soon as it is
  draw();
});

$("c-publish").addEventListener("submit", (event) => {
  event.preventDefault();
  let data = $("c-data").value;
  try {
    data = JSON.parse(data);
  } catch {
    // Any other text is a JSON string.
  }
  send(command("publish", { channel: $("c-target").value, data }, () => answer("good", "Published")));
});

$("c-cut").addEventListener("click", () => {
  cut = !cut;
  backoff.stop();
  if (!cut) return connect();
  leave();
  show("cut", "cut off by you");
});
