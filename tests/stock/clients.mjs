// Stock centrifuge-js in Node, over each of its transports, with its events in a journal and what went over the wire
// beside it. The library is as its package has it: only the WebSocket, the fetch and the EventSource that it is given
// (it asks for them in Node) note what passes.

import { Centrifuge } from "centrifuge";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { DEADLINE_MS, Journal } from "./journal.mjs";

export const TRANSPORTS = ["websocket", "http_stream", "sse"];

const CLIENT_EVENTS = [
  "connecting", "connected", "disconnected", "error", "message",
  "subscribed", "subscribing", "unsubscribed", "publication", "join", "leave",
];
const SUBSCRIPTION_EVENTS = ["subscribing", "subscribed", "unsubscribed", "publication", "join", "leave", "error"];

let names = 0;
/** A name that no other test of this process has: rooms and users of one's own. */
export function unique(prefix) {
  names += 1;
  return `${prefix}${process.pid}-${names}`;
}

/** The objects of a frame: one per line. */
function objects(text) {
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

/** What a client is given to reach the network with; `wire` gets an entry per frame or request, and per reply. */
function network(wire) {
  const sent = (text) => wire.add("sent", { commands: objects(text) });
  const received = (text) => objects(text).forEach((reply) => wire.add("received", { reply }));

  class NotedWebSocket extends WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => received(data));
    }

    send(data, ...args) {
      sent(data);
      super.send(data, ...args);
    }
  }

  class NotedEventSource extends EventSource {
    constructor(url, options) {
      super(url, options);
      sent(new URL(url).searchParams.get("cf_connect"));
      this.addEventListener("message", ({ data }) => received(data));
    }
  }

  async function notedFetch(address, options) {
    const isEmulation = new URL(address).pathname.endsWith("/emulation");
    sent(isEmulation ? JSON.parse(options.body).data : options.body);
    const response = await fetch(address, options).catch((error) => {
      wire.add("failure", { address: String(address), message: `${error.message}: ${error.cause?.message}` });
      throw error;
    });
    if (isEmulation) wire.add("emulation", { status: response.status });
    if (isEmulation || !response.ok) return response;
    const [own, noted] = response.body.tee();
    noteLines(noted, received).catch(() => {}); // a stream that is cut is the client's affair
    return new Response(own, { status: response.status, headers: response.headers });
  }

  return { websocket: NotedWebSocket, eventsource: NotedEventSource, fetch: notedFetch, readableStream: ReadableStream };
}

async function noteLines(stream, line) {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    lines.filter((text) => text.trim() !== "").forEach(line);
  }
}

/** One stock client. */
export class Member {
  journal = new Journal();
  wire = new Journal();

  /** `base` is the address of the server or of a proxy before it; `name` the user's self-declared name. */
  constructor(base, transport, { name, ...options } = {}) {
    this.name = name ?? unique("user-");
    const endpoint = new URL(`connection/${transport}?name=${this.name}`, base);
    if (transport === "websocket") endpoint.protocol = "ws:";
    this.client = new Centrifuge([{ transport, endpoint: endpoint.href }], {
      ...network(this.wire),
      emulationEndpoint: new URL("emulation", base).href,
      minReconnectDelay: 50,
      maxReconnectDelay: 200,
      timeout: DEADLINE_MS,
      ...options,
    });
    for (const kind of CLIENT_EVENTS) this.client.on(kind, (context) => this.journal.add(kind, context));
  }

  /** Connects; the id that the server gave. */
  async connect() {
    const from = this.journal.mark();
    this.client.connect();
    return (await this.journal.wait("connected", "connected", { from })).client;
  }

  /** A subscription with a journal of its own, not yet asked for. */
  room(room, options) {
    const subscription = this.client.newSubscription(room, { minResubscribeDelay: 50, maxResubscribeDelay: 200, ...options });
    subscription.journal = new Journal();
    for (const kind of SUBSCRIPTION_EVENTS) {
      subscription.on(kind, (context) => subscription.journal.add(kind, context));
    }
    return subscription;
  }

  /** Subscribes and waits for it. */
  async subscribe(room, options) {
    const subscription = this.room(room, options);
    subscription.subscribe();
    await subscription.ready(DEADLINE_MS);
    return subscription;
  }

  close() {
    this.client.disconnect();
  }
}

/** What a client sent and got last, for the message of a failed assertion. */
export function lately({ journal, wire }) {
  return [...journal.entries.slice(-6), ...wire.entries.slice(-10)].map((entry) => JSON.stringify(entry).slice(0, 300)).join("\n  ");
}

/** The data of the publications that a subscription had, from a place in its journal on. */
export function dataOf(subscription, from = 0) {
  return subscription.journal.of("publication", from).map(({ data }) => data);
}

/** Waits for so many publications from `from` on; their data. */
export async function published(subscription, count, from = 0) {
  const what = `${count} publications of ${subscription.channel}`;
  return (await subscription.journal.count(what, "publication", count, { from })).map(({ data }) => data);
}
