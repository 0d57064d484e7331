// A page with stock centrifuge-js in Chromium, over each transport, through a bad day: the server is stopped where it is
// (SIGSTOP), the proxy between them cuts and holds connections, the page is offline for a minute, and the server
// restarts with a drain, while a publisher goes on. Within the history every publication is seen exactly once and in
// order; beyond it, and after the restart, the page is told that it could not recover. In one of the rooms the page gets
// deltas, and has each publication as it was published.
//
//   SHARDCAST_BIN=target/release/shardcast node tests/stock/chromium.mjs     (tests/stock/run.sh installs the packages)
//
// CHROMIUM=… names the browser (default: chromium), OFFLINE_SECONDS the time offline (default: 60), TRANSPORTS some of
// the three (default: "websocket http_stream sse").

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { Chromium, until } from "../browser/chromium.mjs";
import { Proxy } from "./proxy.mjs";
import { StockServer } from "./server.mjs";

const TRANSPORTS = (process.env.TRANSPORTS ?? "websocket http_stream sse").split(" ");
const ROOM = "h-bad-day"; // remembers 1,000 publications: more than a minute of them
const SHORT = "short-bad-day"; // remembers five: less than a second of them
const DELTA = "delta-bad-day"; // remembers as much as the first, and sends changes
const ROOMS = [ROOM, SHORT, DELTA];
const PER_SECOND = 12;
const OFFLINE_MS = Number(process.env.OFFLINE_SECONDS ?? 60) * 1000;
const DEADLINE_MS = 40_000;

/** Publication `n` of the room with deltas. It goes to the page as source: nothing here that it does not have. */
function changing(n) {
  const field = (_, key) => [`field-${key}-é`, key === n % 40 ? `changed by ${n}` : `as it was \u{1f600}`];
  return { n, ...Object.fromEntries(Array.from({ length: 40 }, field)) };
}

/** Serves the page and the library, from another origin than the server's. */
async function servePage() {
  const library = new URL("node_modules/centrifuge/dist/centrifuge.js", import.meta.url);
  const files = {
    "/": ["text/html", await readFile(new URL("page.html", import.meta.url))],
    "/centrifuge.js": ["text/javascript", await readFile(library)],
    "/changing.js": ["text/javascript; charset=utf-8", String(changing)],
  };
  const listener = createServer((request, response) => {
    const file = files[new URL(request.url, "http://page").pathname];
    if (file) response.writeHead(200, { "content-type": file[0] }).end(file[1]);
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  return { listener, origin: `http://127.0.0.1:${listener.address().port}` };
}

/**
 * Publishes {n: 1}, {n: 2}, … into all rooms, and goes on whatever happens to the server: each request is repeated,
 * with the same idempotency key, until it is answered.
 */
class Publisher {
  last = 0;
  /** What the server acknowledged: "room epoch offset" → n. */
  acknowledged = new Map();
  /** Numbers whose acknowledgement was asked for more than once; across a restart such a one may be there twice. */
  repeated = new Set();
  #isRunning = true;

  constructor(server) {
    this.server = server;
    this.ended = this.#run();
  }

  async #run() {
    while (this.#isRunning) {
      const next = delay(1000 / PER_SECOND);
      const n = this.last + 1;
      for (const room of ROOMS) await this.#publish(room, n);
      this.last = n;
      await next;
    }
  }

  async #publish(room, n) {
    const options = () => ({
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": `number-${n}` },
      body: JSON.stringify(room === DELTA ? changing(n) : { n }),
      signal: AbortSignal.timeout(1000),
    });
    for (;;) {
      try {
        const response = await fetch(`${this.server.url}rooms/${room}`, options());
        if (response.ok) {
          const { epoch, offset } = await response.json();
          this.acknowledged.set(`${room} ${epoch} ${offset}`, n);
          return;
        }
      } catch {
        // The server is stopped, or away: once more.
      }
      this.repeated.add(n);
      await delay(50);
    }
  }

  /** Waits until so many more have been published. */
  async more(count) {
    const goal = this.last + count;
    await until(`${count} more publications`, () => this.last >= goal, DEADLINE_MS);
  }

  async stop() {
    this.#isRunning = false;
    await this.ended;
  }
}

/** One page over one transport, behind a proxy of its own. */
class Visitor {
  static async open(browser, page, server, transport) {
    const visitor = new Visitor();
    visitor.transport = transport;
    visitor.proxy = await Proxy.start(server.port);
    const parameters = new URLSearchParams({ base: visitor.proxy.url, transport, delta: DELTA });
    for (const room of ROOMS) parameters.append("room", room);
    visitor.page = await browser.open(`${page.origin}/?${parameters}`);
    await visitor.page.send("Network.enable");
    return visitor;
  }

  events(room) {
    return this.page.value(`rooms[${JSON.stringify(room)}]`);
  }

  clientEvents() {
    return this.page.value("clientEvents");
  }

  until(what, expression) {
    return this.page.until(`${this.transport}: ${what}`, expression, DEADLINE_MS).catch(async (error) => {
      const state = await this.page.value("JSON.stringify({ state: client.state, last: clientEvents.slice(-6) })").catch(String);
      throw new Error(`${error.message}; ${state}; complaints: ${JSON.stringify(this.page.complaints.slice(-3))}`);
    });
  }

  /** Waits until the page has seen publication `n`. */
  sees(n, room = ROOM) {
    return this.until(`publication ${n}`, `rooms[${JSON.stringify(room)}].some(({ kind, n }) => kind === "publication" && n >= ${n})`);
  }

  deltas() {
    return this.page.value(`subscriptions["${DELTA}"].deltaStats()`);
  }

  async offline(isOffline) {
    const conditions = { offline: isOffline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await this.page.send("Network.emulateNetworkConditions", conditions);
  }
}

/**
 * Goes through what a page noted of a room: offsets are dense from where it said it was, each holds what the server
 * acknowledged there, and nothing is skipped but what was told lost. The number of times that it was told.
 */
function check(visitor, room, events, publisher) {
  const what = (entry) => `${visitor.transport}, ${room}: ${JSON.stringify(entry)}`;
  let position;
  let losses = 0;
  for (const entry of events) {
    assert.ok(["subscribed", "subscribing", "publication"].includes(entry.kind), what(entry));
    if (entry.kind === "subscribed") {
      if (entry.wasRecovering && entry.recovered) assert.deepEqual(entry.position, position, what(entry));
      if (entry.wasRecovering && !entry.recovered) losses += 1;
      assert.equal(entry.wasRecovering, position !== undefined, `only the first begins anew: ${what(entry)}`);
      position = { ...entry.position };
    }
    if (entry.kind === "publication") {
      assert.ok(entry.isWhole, `not what was published: ${what(entry)}`);
      assert.equal(entry.offset, position.offset + 1, `after ${JSON.stringify(position)}: ${what(entry)}`);
      position.offset = entry.offset;
      const n = publisher.acknowledged.get(`${room} ${position.epoch} ${position.offset}`);
      if (n === undefined) assert.ok(publisher.repeated.has(entry.n), `never acknowledged: ${what(entry)}`);
      else assert.equal(entry.n, n, what(entry));
    }
  }
  assert.ok(publisher.acknowledged.has(`${room} ${position.epoch} ${position.offset}`), "the end is one that was acknowledged");
  assert.ok(!publisher.acknowledged.has(`${room} ${position.epoch} ${position.offset + 1}`), "and the last one");
  return losses;
}

/** The scenes of the day. Each ends with every page seeing what is published then. */
class Day {
  constructor(server, visitors, publisher) {
    Object.assign(this, { server, visitors, publisher });
  }

  each(work) {
    return Promise.all(this.visitors.map(work));
  }

  async live() {
    await this.publisher.more(3);
    await this.each((visitor) => visitor.sees(this.publisher.last));
  }

  async arrive() {
    await this.each((visitor) => visitor.until("subscribed", `typeof client === "object" && Object.values(rooms).every((events) => events.length > 0)`));
    await this.live();
  }

  /** While nothing happens, all that comes in the room with deltas is changes; checked in the end is what they made. */
  async calm() {
    const before = await this.each((visitor) => visitor.deltas());
    await this.publisher.more(40);
    await this.each(async (visitor, index) => {
      await visitor.sees(this.publisher.last, DELTA);
      const [was, is] = [before[index], await visitor.deltas()];
      const grown = Object.fromEntries(Object.keys(is).map((key) => [key, is[key] - was[key]]));
      const { numFullPayloads, numDeltaPayloads, bytesReceived, bytesDecoded } = grown;
      const fine = numFullPayloads <= 1 && numDeltaPayloads >= 40 && bytesReceived < bytesDecoded / 5;
      assert.ok(fine, `${visitor.transport}: ${JSON.stringify(grown)}`);
    });
  }

  /** Until the pages notice, by the pings that do not come. */
  async freeze() {
    const from = await this.each(async (visitor) => (await visitor.clientEvents()).length);
    this.server.freeze();
    await this.each((visitor, index) => visitor.until("no ping", `clientEvents.slice(${from[index]}).some(({ code }) => code === 2)`));
    this.server.awake();
    await this.live();
  }

  /** So shortly that nobody notices. */
  async blink() {
    this.server.freeze();
    await delay(300); // shorter than any deadline: there is no event to wait for
    this.server.awake();
    await this.live();
  }

  async cut() {
    for (let round = 0; round < 8; round += 1) {
      const connections = `clientEvents.filter(({ kind }) => kind === "connected").length`;
      await this.each(async (visitor) => {
        const before = await visitor.page.value(connections);
        visitor.proxy.cut();
        await visitor.until("reconnected", `${connections} > ${before} && client.state === "connected"`);
      });
    }
    await this.live();
  }

  async hold() {
    const from = await this.each(async (visitor) => (await visitor.clientEvents()).length);
    for (const { proxy } of this.visitors) proxy.hold();
    await this.each((visitor, index) => visitor.until("no ping", `clientEvents.slice(${from[index]}).some(({ code }) => code === 2)`));
    for (const { proxy } of this.visitors) proxy.pass();
    await this.live();
  }

  /** Offline as the browser tells the page, and dead on the wire as well. */
  async offline() {
    const begin = this.publisher.last;
    await this.each(async (visitor) => {
      await visitor.offline(true);
      visitor.proxy.hold();
      await visitor.until("the loss", `client.state === "connecting"`);
    });
    await delay(OFFLINE_MS);
    await this.each(async (visitor) => {
      visitor.proxy.pass();
      await visitor.offline(false);
    });
    await this.live();
    console.log(`    (${this.publisher.last - begin} publications meanwhile)`);
  }

  async drain() {
    await this.server.drain();
    await this.each((visitor) => visitor.until("told 3001", `clientEvents.some(({ code }) => code === 3001)`));
    await this.server.startAgain();
    await this.live();
  }

  /** How often each page was told of a loss, per room, up to now. */
  async losses() {
    return this.each(async (visitor) => {
      const told = async (room) => (await visitor.events(room)).filter(({ wasRecovering, recovered }) => wasRecovering && !recovered).length;
      return [(await told(ROOM)) + (await told(DELTA)), await told(SHORT)];
    });
  }
}

/** Once nothing is published any more and every page has it all: everything is checked. */
async function settle(day) {
  await day.publisher.stop();
  await day.each((visitor) => visitor.sees(day.publisher.last));
  for (const room of [SHORT, DELTA]) {
    await day.each((visitor) => visitor.until(`the last of ${room}`, `rooms["${room}"].at(-1).n === ${day.publisher.last}`));
  }
  for (const visitor of day.visitors) {
    for (const room of [ROOM, DELTA]) {
      const losses = check(visitor, room, await visitor.events(room), day.publisher);
      assert.equal(losses, 1, `${visitor.transport}: the restart alone is a loss where the history is long enough`);
    }
    const { numFullPayloads, numDeltaPayloads } = await visitor.deltas();
    console.log(`    (${visitor.transport}, where there are deltas: ${numDeltaPayloads} changes, ${numFullPayloads} whole)`);
    assert.ok(check(visitor, SHORT, await visitor.events(SHORT), day.publisher) >= 2, `${visitor.transport}: a minute and the restart`);
    const ends = (await visitor.clientEvents()).filter(({ kind }) => kind === "disconnected");
    assert.deepEqual(ends, [], `${visitor.transport}: it never gave up`);
  }
}

async function main() {
  const page = await servePage();
  // Browsers offer compression; the other tests do without.
  const deflate = 'mode = "on"\nthreshold_bytes = "0B"';
  const server = await StockServer.start({ pageOrigins: [page.origin], deflate });
  const publisher = new Publisher(server);
  const browser = await Chromium.start();
  const visitors = [];
  try {
    for (const transport of TRANSPORTS) visitors.push(await Visitor.open(browser, page, server, transport));
    const day = new Day(server, visitors, publisher);
    const scene = async (name, work) => {
      const begin = Date.now();
      await work();
      console.log(`ok: ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
    };
    await scene("a page for each transport: subscribed and live", () => day.arrive());
    await scene("nothing happens", () => day.calm());
    await scene("the server stops for a moment", () => day.blink());
    await scene("the server stops until the pages notice", () => day.freeze());
    await scene("the proxy cuts eight times", () => day.cut());
    await scene("the proxy holds everything until the pages notice", () => day.hold());
    const before = await day.losses();
    for (const [long] of before) assert.equal(long, 0, "no loss so far where the history is long enough");
    await scene(`${OFFLINE_MS / 1000} s offline`, () => day.offline());
    const after = await day.losses();
    after.forEach(([long, short], index) => {
      assert.equal(long, 0, `${visitors[index].transport}: none while offline either`);
      assert.ok(short > before[index][1], `${visitors[index].transport}: beyond the history, the page is told`);
    });
    await scene("the server restarts with a drain", () => day.drain());
    await scene("every publication once and in order", () => settle(day));
  } finally {
    await publisher.stop().catch(() => {});
    await browser.stop();
    for (const { proxy } of visitors) await proxy.stop();
    await server.stop();
    page.listener.close();
    page.listener.closeAllConnections();
  }
}

await main();
