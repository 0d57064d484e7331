// The console: its forms and tabs, and the lines of code that do the same elsewhere.

import { startCentrifuge } from "./centrifuge.js";
import { clear, everySecond, note, receive } from "./messages.js";
import { Room } from "./room.js";
import { eventsUrl, publishUrl, socketUrl } from "./ways.js";

const ROOM_NAME = /^[-A-Za-z0-9_.~:@#$&!'()+,;=]{1,255}$/;

const $ = (id) => document.getElementById(id);

// --- The room ---

const room = new Room({
  state(name, text) {
    $("state").dataset.state = name;
    $("state-text").textContent = text;
    $("cut").textContent = name === "cut" ? "Reconnect" : "Cut";
  },
  position: (text) => ($("position").textContent = text === undefined ? "no position" : `at ${text}`),
  message: receive,
  note,
  resumed: (text) => ($("resumed").textContent = text || "Cut the connection to see what becomes of it."),
  refused: (text) => note("bad", text),
});

function roomOfAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || new URLSearchParams(location.search).get("room") || "";
  } catch {
    return ""; // a stray % in the address
  }
}

function join(name) {
  if (!ROOM_NAME.test(name)) return false;
  $("room").value = name;
  $("room-title").textContent = name;
  document.title = `${name} · shardcast`;
  if (name !== room.name) {
    if (roomOfAddress() !== name) history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    clear();
  }
  room.join(name, $("way").value);
  showCode();
  return true;
}

function say(text) {
  return room.say(JSON.stringify({ name: $("name").value.trim() || "anonymous", text }));
}

// Whoever comes back to the page or the network does not wait for the delay.
const hurry = () => document.hidden || room.hurry();
addEventListener("online", hurry);
document.addEventListener("visibilitychange", hurry);
addEventListener("hashchange", () => roomOfAddress() !== room.name && join(roomOfAddress()));

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  stored("name", $("name").value.trim());
  if (join($("room").value.trim())) return $("text").focus();
  $("room").setCustomValidity("1 to 255 of: A-Z a-z 0-9 - _ . ~ : @ # $ & ! ' ( ) + , ; =");
  $("room").reportValidity();
});
$("room").addEventListener("input", () => $("room").setCustomValidity(""));
$("name").addEventListener("change", () => stored("name", $("name").value.trim()));
$("way").addEventListener("change", () => {
  stored("way", $("way").value);
  join(room.name);
});
$("cut").addEventListener("click", () => (room.isCut ? room.mend() : room.cut()));
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
    const response = await fetch(publishUrl(room.name), { method: "POST", headers, body: $("push-text").value });
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
  const [publish, socket, events] = [publishUrl, socketUrl, eventsUrl].map((url) => url(room.name));
  $("curl").textContent = `curl -d 'hello' ${quoted(publish)}\ncurl -N ${quoted(events)}`;
  $("pipe").textContent = `journalctl -f | shardcast publish ${quoted(publish)}\nshardcast subscribe --follow ${quoted(socket)}`;
  $("browser").textContent = {
    raw: [
      `const room = new WebSocket(${JSON.stringify(socket)});`,
      "room.onopen = () => room.send(JSON.stringify({ name: \"me\", text: \"hello\" }));",
      "room.onmessage = (event) => console.log(event.data);",
      "room.onclose = (event) => console.log(\"closed\", event.code, event.reason);",
      "// Every message goes to everyone in the room, its sender included.",
    ],
    v1: [
      "let since = \"\"; // where we are; kept over reconnects",
      "function connect() {",
      `  const room = new WebSocket(${JSON.stringify(socket)} + since, "shardcast.v1");`,
      "  room.onmessage = ({ data }) => {",
      "    const end = data.indexOf(\"\\n\"); // text messages; the first line is EPOCH:OFFSET [STATE]",
      "    const [position, state] = data.slice(0, end).split(\" \");",
      "    since = `?since=${position}`;",
      "    if (state === undefined) console.log(data.slice(end + 1));",
      "    else if (state === \"lost\") console.log(\"too long away: load everything anew\");",
      "  };",
      "  room.onclose = () => setTimeout(connect, 500 + Math.random() * 1000);",
      "}",
      "connect();",
    ],
    sse: [
      `const room = new EventSource(${JSON.stringify(events)});`,
      "room.onmessage = (event) => console.log(event.data);",
      "room.addEventListener(\"lost\", () => console.log(\"too long away: load everything anew\"));",
      "// It reconnects by itself and goes on where it was.",
    ],
  }[room.way].join("\n");
}

// --- Tabs ---

for (const tablist of document.querySelectorAll("[role=tablist]")) {
  const tabs = [...tablist.querySelectorAll("[role=tab]")];
  const select = (tab) => {
    for (const other of tabs) {
      other.ariaSelected = String(other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      $(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
    tab.focus();
  };
  for (const tab of tabs) {
    const other = tabs.find((candidate) => candidate !== tab);
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => (key === "ArrowLeft" || key === "ArrowRight") && select(other));
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const code = $(button.dataset.copy);
    getSelection().selectAllChildren(code); // only secure pages have a clipboard; others leave it to Ctrl-C
    await navigator.clipboard?.writeText(code.textContent);
  });
}

// The first look at the second tab connects.
$("tab-centrifuge").addEventListener("click", () => startCentrifuge(room.name));

// --- Start ---

// Storage may be forbidden; then nothing is remembered.
function stored(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(`shardcast.${key}`, value);
    return localStorage.getItem(`shardcast.${key}`);
  } catch {
    return null;
  }
}

$("name").value = stored("name") || `guest-${Math.random().toString(36).slice(2, 6)}`;
if (["raw", "v1", "sse"].includes(stored("way"))) $("way").value = stored("way");
join(roomOfAddress()) || join("lobby");
setInterval(everySecond, 1000);
everySecond();
