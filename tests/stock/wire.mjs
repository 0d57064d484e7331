// Connections that say what no stock client would: written by hand, line by line.

import { EventSource } from "eventsource";
import WebSocket from "ws";
import { Journal } from "./journal.mjs";

/** A connection over which text goes out as it is, and what comes back is noted as `reply` entries, then `end`. */
export class WireSocket {
  journal = new Journal();

  constructor(base, path = "connection/websocket") {
    const address = new URL(path, base);
    address.protocol = "ws:";
    this.socket = new WebSocket(address);
    this.socket.on("message", (data, isBinary) => {
      const text = data.toString();
      this.journal.add("message", { text, data, isBinary });
      if (isBinary || path.startsWith("ws/")) return;
      for (const line of text.split("\n")) this.journal.add("reply", { reply: JSON.parse(line) });
    });
    this.socket.on("close", (code, reason) => this.journal.add("end", { code, reason: reason.toString() }));
    this.socket.on("error", () => {}); // told by `end`
  }

  async open() {
    if (this.socket.readyState === WebSocket.OPEN) return this;
    await new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
    });
    return this;
  }

  /** Opens, and does the connect command. */
  async connected() {
    await this.open();
    this.say({ id: 1, connect: {} });
    await this.answer(1);
    return this;
  }

  /** Commands, one per line of one frame. */
  say(...commands) {
    this.text(commands.map((command) => JSON.stringify(command)).join("\n"));
  }

  text(text) {
    this.socket.send(text);
  }

  /** The reply to a command. */
  async answer(id) {
    return (await this.journal.wait(`the reply ${id}`, (entry) => entry.kind === "reply" && entry.reply.id === id)).reply;
  }

  /** Code and reason of the close. */
  async end() {
    return this.journal.wait("the close", "end");
  }

  close() {
    this.socket.terminate();
  }
}

/** A stream of replies as the server sends it; nobody answers its pings. */
export class WireStream {
  journal = new Journal();
  #abort = new AbortController();

  /** Over http_stream: the commands are the body. */
  static httpStream(base, body) {
    const stream = new WireStream();
    stream.#follow(new URL("connection/http_stream", base), body);
    return stream;
  }

  /** Over sse: the commands are in the address. */
  static sse(base, commands) {
    const stream = new WireStream();
    const address = new URL("connection/sse", base);
    address.searchParams.set("cf_connect", commands);
    const source = new EventSource(address);
    source.onmessage = ({ data }) => stream.journal.add("reply", { reply: JSON.parse(data) });
    source.onerror = () => {
      source.close();
      stream.journal.add("end");
    };
    stream.close = () => source.close();
    return stream;
  }

  async #follow(address, body) {
    const headers = { "content-type": "application/json", accept: "application/json" };
    try {
      const response = await fetch(address, { method: "POST", headers, body, signal: this.#abort.signal });
      this.journal.add("head", { status: response.status, headers: Object.fromEntries(response.headers) });
      let rest = "";
      for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        for (const line of lines) this.journal.add("reply", { reply: JSON.parse(line) });
      }
    } catch (error) {
      this.journal.add("failure", { message: String(error) });
    }
    this.journal.add("end");
  }

  close() {
    this.#abort.abort();
  }
}
