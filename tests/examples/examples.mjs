// Runs one of the programs under examples/ against a server of its own: it gets what is published, is cut off and gets
// what it missed, sees the server restart and tells the loss, and then goes on.
//
//   SHARDCAST_BIN=… node tests/examples/examples.mjs browser
//   SHARDCAST_BIN=… node tests/examples/examples.mjs centrifuge|python|events|poll PROGRAM [ARGUMENT...]
//
// In the arguments, {http} is the server's URL without a path, {ws} the same for WebSockets, {room} a room. run.sh calls
// this for each of them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { pathToFileURL } from "node:url";
import { Chromium, until } from "../browser/chromium.mjs";
import { Server } from "../browser/server.mjs";
import { Cuttable } from "./cuttable.mjs";

const ROOM = "example";
const LOST = "(lost: too long away; load everything anew)";
const LIMIT_MS = 30_000;
const SETTINGS = ["--set", "room.history_count_max=100", "--set", `allowed_origins=*`];

/** A program whose lines of output are what it shows. */
class Program {
  static async start(name, [program, ...words], addresses) {
    const started = new Program();
    const filled = words.map((word) => word.replace(/\{(\w+)\}/g, (_, key) => addresses[key]));
    // A group of its own: a shell script has children.
    const environment = { ...process.env, SERVER: addresses.http };
    started.child = spawn(program, filled, { env: environment, stdio: ["ignore", "pipe", "inherit"], detached: true });
    started.ended = new Promise((resolve) => started.child.once("close", resolve));
    started.printed = "";
    started.child.stdout.on("data", (data) => (started.printed += data));
    started.read = name === "poll" ? polled : (line) => [line];
    return started;
  }

  async shown() {
    const lines = this.printed.split("\n").slice(0, -1);
    return lines.flatMap(this.read);
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) process.kill(-this.child.pid, "SIGKILL");
    await this.ended;
  }
}

/** An answer to a poll, or the word of a loss. */
function polled(line) {
  return line.startsWith("{") ? JSON.parse(line).publications.map(({ data }) => data) : [line];
}

/** The example in a browser, as a file. */
class Page {
  static async start({ ws }) {
    const page = new Page();
    page.browser = await Chromium.start();
    const file = pathToFileURL(new URL("../../examples/browser/index.html", import.meta.url).pathname);
    page.page = await page.browser.open(`${file.href}?server=${ws}&room=${ROOM}`);
    return page;
  }

  shown() {
    return this.page.value(`[...document.querySelectorAll("#messages li")].map((line) => line.textContent)`);
  }

  stop() {
    return this.browser.stop();
  }
}

async function main() {
  const [name, ...command] = process.argv.slice(2);
  const server = await Server.start(process.env.SHARDCAST_BIN, SETTINGS);
  const way = await Cuttable.to(server.port);
  const addresses = { http: `http://127.0.0.1:${way.port}`, ws: `ws://127.0.0.1:${way.port}`, room: ROOM };
  const example = name === "browser" ? await Page.start(addresses) : await Program.start(name, command, addresses);
  const publish = async (text) => {
    const headers = { "content-type": "text/plain" };
    const response = await fetch(`${server.url}rooms/${ROOM}`, { method: "POST", headers, body: text });
    assert.equal(response.status, 200, await response.clone().text());
  };
  const shows = (what, ...texts) => until(what, async () => {
    const shown = (await example.shown()).filter((text) => !text.startsWith("knock"));
    assert.deepEqual(shown, texts.slice(0, shown.length), what);
    return shown.length === texts.length;
  }, LIMIT_MS);
  /** Nobody says when it has joined: it is knocked for until the first knock is heard. */
  const joined = (what) => until(what, async () => {
    await publish("knock");
    return (await example.shown()).length > 0;
  }, LIMIT_MS);
  try {
    await joined("it joins");
    for (const text of ["one", "two"]) await publish(text);
    await shows("it gets what is published", "one", "two");
    way.cut();
    for (const text of ["three", "four", "five"]) await publish(text);
    way.open();
    await publish("six");
    await shows("it gets what it missed, once, and goes on", "one", "two", "three", "four", "five", "six");
    await server.kill();
    await server.startAgain();
    // A poll is answered when there is something to be had: the loss is told with the next message.
    if (name === "poll") {
      await until("it tells the loss", async () => {
        await publish("knock");
        return (await example.shown()).includes(LOST);
      }, LIMIT_MS);
    } else await shows("it tells the loss", "one", "two", "three", "four", "five", "six", LOST);
    await publish("seven");
    await shows("and goes on", "one", "two", "three", "four", "five", "six", LOST, "seven");
    console.log(`ok: ${name}`);
  } finally {
    await example.stop();
    way.stop();
    await server.kill();
  }
}

await main();
