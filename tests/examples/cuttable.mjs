// A way to a server that can be cut and kept shut for a while.

import { connect, createServer } from "node:net";

export class Cuttable {
  #pairs = new Set();
  #shut = false;

  /** A port of 127.0.0.1 that leads to `port`. */
  static async to(port) {
    const way = new Cuttable();
    way.listener = createServer((near) => way.#accept(near, port)).listen(0, "127.0.0.1");
    await new Promise((resolve) => way.listener.once("listening", resolve));
    way.port = way.listener.address().port;
    return way;
  }

  #accept(near, port) {
    near.on("error", () => {}); // the other side learns it by the end
    if (this.#shut) return near.resetAndDestroy();
    const far = connect(port, "127.0.0.1");
    far.on("error", () => {});
    const pair = { near, far };
    this.#pairs.add(pair);
    near.pipe(far);
    far.pipe(near);
    const gone = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.once("close", gone);
    far.once("close", gone);
  }

  /** Resets every connection; new ones are refused until `open`. */
  cut() {
    this.#shut = true;
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  open() {
    this.#shut = false;
  }

  stop() {
    this.cut();
    this.listener.close();
  }
}
