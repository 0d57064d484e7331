// A TCP proxy that can cut connections, hold them without a byte moving, and refuse new ones: the network's bad days.

import { connect, createServer } from "node:net";

export class Proxy {
  #links = new Set();
  #mode = "pass";

  /** Listens on a free port of 127.0.0.1 and passes everything on to `port`. */
  static async start(port) {
    const proxy = new Proxy();
    proxy.target = port;
    proxy.listener = createServer({ pauseOnConnect: true }, (near) => proxy.#accept(near)).listen(0, "127.0.0.1");
    await new Promise((resolve) => proxy.listener.once("listening", resolve));
    proxy.port = proxy.listener.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}/`;
    return proxy;
  }

  #accept(near) {
    near.on("error", () => {});
    if (this.#mode === "refuse") return near.resetAndDestroy();
    const link = { near, far: undefined };
    this.#links.add(link);
    near.once("close", () => {
      this.#links.delete(link);
      link.far?.destroy();
    });
    if (this.#mode === "pass") this.#join(link);
  }

  /** Connects the far side and lets bytes flow; a link that was held goes on where it stopped. */
  #join(link) {
    if (link.far) {
      link.near.resume();
      link.far.resume();
      return;
    }
    const far = connect(this.target, "127.0.0.1");
    link.far = far;
    far.on("error", () => {});
    far.once("close", () => link.near.destroy());
    // The end of one side is passed on after what it had sent.
    link.near.on("data", (data) => far.write(data) || link.near.pause());
    far.on("drain", () => this.#mode === "pass" && link.near.resume());
    link.near.once("end", () => far.end());
    far.on("data", (data) => link.near.write(data) || far.pause());
    link.near.on("drain", () => this.#mode === "pass" && far.resume());
    far.once("end", () => link.near.end());
    link.near.resume();
  }

  get connections() {
    return this.#links.size;
  }

  /** Resets every connection, on both sides, at once. */
  cut() {
    for (const { near, far } of this.#links) {
      near.resetAndDestroy();
      far?.resetAndDestroy();
    }
  }

  /** From now on new connections are reset; those that are there go on. */
  refuse() {
    this.#mode = "refuse";
  }

  /** From now on no byte moves in either direction; new connections are accepted and held as well. */
  hold() {
    this.#mode = "hold";
    for (const { near, far } of this.#links) {
      near.pause();
      far?.pause();
    }
  }

  /** Back to work: what was held goes on, byte for byte. */
  pass() {
    this.#mode = "pass";
    for (const link of this.#links) this.#join(link);
  }

  async stop() {
    this.cut();
    await new Promise((resolve) => this.listener.close(resolve));
  }
}
