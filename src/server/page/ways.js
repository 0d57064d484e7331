// The ways into a room. Each opens one connection and tells `on` what becomes of it:
//   joined(state, position)  connected; state is "live", "recovered", "lost", or undefined where there are no positions
//   message(data, position)  data is a string or an ArrayBuffer; position is "EPOCH:OFFSET" or undefined
//   closed({ code, reason }) once; nothing comes afterwards
// and gives { close(), send(text) }; without `send`, publishing goes over HTTP.

const base = new URL(".", document.baseURI);
// Of a room name's alphabet only `#` cannot stand in a path.
const at = (path, room) => new URL(`${path}/${room.replaceAll("#", "%23")}`, base).href;
export const publishUrl = (room) => at("rooms", room);
export const eventsUrl = (room) => at("sse", room);
export const socketUrl = (room) => at("ws", room).replace(/^http/, "ws");
export const centrifugeUrl = () => new URL("connection/websocket", base).href.replace(/^http/, "ws");
const since = (position) => (position === undefined ? "" : `?since=${position}`);

// How long a resumed event stream may take to say that it lost something.
const LOST_WITHIN_MS = 300;

export const ways = {
  raw(room, _position, on) {
    return webSocket(new WebSocket(socketUrl(room)), on, {
      open: () => on.joined(),
      message: (data) => on.message(data),
    });
  },

  v1(room, position, on) {
    const socket = new WebSocket(socketUrl(room) + since(position), "shardcast.v1");
    return webSocket(socket, on, {
      open() {}, // the first message says how it begins
      message(data) {
        const { header, payload } = split(data);
        const [at, state] = header.split(" ");
        if (state === undefined) on.message(payload, at);
        else on.joined(state, at);
      },
    });
  },

  sse(room, position, on) {
    const source = new EventSource(eventsUrl(room) + since(position));
    let timer;
    const end = () => {
      clearTimeout(timer);
      source.close();
    };
    const join = (state, at) => {
      clearTimeout(timer);
      timer = undefined;
      on.joined(state, at);
    };
    const message = (data, at) => {
      if (timer !== undefined) join("recovered", position);
      on.message(data, at);
    };
    // A stream that resumed says nothing; one that could not begins with `lost`.
    source.onopen = () => position !== undefined && (timer = setTimeout(join, LOST_WITHIN_MS, "recovered", position));
    source.addEventListener("live", ({ lastEventId }) => join("live", lastEventId));
    source.addEventListener("lost", ({ lastEventId }) => join("lost", lastEventId));
    source.onmessage = ({ data, lastEventId }) => message(data, lastEventId);
    source.addEventListener("binary", ({ data, lastEventId }) => message(bytes(data), lastEventId));
    source.onerror = () => {
      end(); // it would come back by itself; here the page shows when, and where it goes on
      on.closed({ code: 1006, reason: "" });
    };
    return { close: end };
  },
};

function webSocket(socket, on, { open, message }) {
  let ended = false;
  const unlessEnded = (work) => (event) => !ended && work(event);
  socket.binaryType = "arraybuffer";
  socket.onopen = unlessEnded(open);
  socket.onmessage = unlessEnded(({ data }) => message(data));
  socket.onclose = unlessEnded((event) => {
    ended = true;
    on.closed(event);
  });
  return {
    send: (text) => socket.send(text),
    close() {
      ended = true;
      socket.close(1000);
    },
  };
}

// `EPOCH:OFFSET…\n` and what follows it.
function split(data) {
  if (typeof data === "string") {
    const end = data.indexOf("\n");
    return { header: data.slice(0, end), payload: data.slice(end + 1) };
  }
  const end = new Uint8Array(data).indexOf(10);
  return { header: new TextDecoder().decode(data.slice(0, end)), payload: data.slice(end + 1) };
}

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer;
