// A shardcast server as a child process, which the test may kill and start again on the same port.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { until } from "./chromium.mjs";

/** A port of 127.0.0.1 that nobody listens on now. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The server refuses variables that look like its settings and are none, such as SHARDCAST_BIN. */
function cleanEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SHARDCAST_")));
}

export class Server {
  /** Started with these further arguments (`--set room.history_count_max=100`). */
  static async start(program, settings = []) {
    const server = new this();
    server.program = program;
    server.settings = settings;
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}/`;
    await server.startAgain();
    return server;
  }

  async startAgain() {
    const listen = ["serve", "--listen", `127.0.0.1:${this.port}`, ...this.settings];
    const child = spawn(this.program, listen, { env: cleanEnvironment(), stdio: ["ignore", "ignore", "inherit"] });
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once("error", resolve);
      child.once("exit", resolve);
    });
    let ended = false;
    this.ended.then(() => (ended = true));
    const answers = () => fetch(`${this.url}health/live`).then((response) => response.ok, () => false);
    await until(`${this.program} serves`, async () => {
      if (ended) throw new Error(`${this.program} serve: ended at once`);
      return answers();
    });
  }

  /** A console client of this server. */
  client(command, ...args) {
    return spawn(this.program, [command, ...args, "--server", this.url], { env: cleanEnvironment() });
  }

  /** Ends it as a crash would. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}
