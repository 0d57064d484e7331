// Point 13: what no stock client sends. Each gets the specified error, and nobody else notices.
//
//   SHARDCAST_BIN=target/release/shardcast node --test tests/stock/bad_input.test.mjs     (tests/stock/run.sh installs the packages)

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Member, published, unique } from "./clients.mjs";
import { StockServer } from "./server.mjs";
import { WireSocket, WireStream } from "./wire.mjs";

const CONNECT = JSON.stringify({ id: 1, connect: {} });

describe("bad input", { concurrency: true }, () => {
  let server;
  let bystander;
  let watched;
  before(async () => {
    server = await StockServer.start();
    bystander = new Member(server.url, "websocket");
    await bystander.connect();
    watched = await bystander.subscribe(unique("h-"));
  });
  after(async () => {
    // Whatever was sent below: who had nothing to do with it is still there, on the same connection.
    try {
      await server.publish(watched.channel, { still: "here" });
      assert.deepEqual(await published(watched, 1), [{ still: "here" }]);
      assert.equal(bystander.journal.of("connected").length, 1);
    } finally {
      bystander?.close();
      await server?.stop();
    }
  });

  async function opened(t) {
    const socket = await new WireSocket(server.url).open();
    t.after(() => socket.close());
    return socket;
  }

  async function connected(t) {
    const socket = await opened(t);
    socket.text(CONNECT);
    await socket.answer(1);
    return socket;
  }

  const FATAL_AT_ONCE = [
    ["a command before connect", '{"id":1,"subscribe":{"channel":"a"}}'],
    ["a message before connect", '{"send":{"data":{}}}'],
    ["a pong before connect", "{}"],
    ["no JSON", "hello"],
    ["an empty frame", ""],
    ["half an object", '{"id":1,"connect":{'],
    ["two objects in a line", `${CONNECT}${CONNECT}`],
    ["not an object", "[1]"],
    ["a wrong type", '{"id":"one","connect":{}}'],
    ["a number too large for an id", '{"id":99999999999999999999,"connect":{}}'],
    ["connect twice in a frame", `${CONNECT}\n${CONNECT}`],
  ];
  for (const [what, text] of FATAL_AT_ONCE) {
    test(`${what}: closed with 3501`, async (t) => {
      const socket = await opened(t);
      socket.text(text);
      assert.equal((await socket.end()).code, 3501);
    });
  }

  const FATAL_LATER = [
    ["connect again", CONNECT],
    ["no JSON", "{"],
    ["an empty frame", ""],
    ["a blank line between two commands", '{"send":{"data":1}}\n\n{"send":{"data":2}}'],
    ["a subscribe without a channel", '{"id":2,"subscribe":{}}'],
    ["a name of 300 bytes", JSON.stringify({ id: 2, subscribe: { channel: "x".repeat(300) } })],
    ["objects in objects, 5,000 deep", `{"id":2,"publish":{"channel":"a","data":${"[".repeat(5000)}${"]".repeat(5000)}}}`],
    ["text that is no UTF-8, in a binary frame", Buffer.from([0xff, 0xfe])],
  ];
  for (const [what, text] of FATAL_LATER) {
    test(`${what}, once connected: a close that ends, or an error`, async (t) => {
      const socket = await connected(t);
      socket.socket.send(text, { binary: Buffer.isBuffer(text) });
      const { code, reply } = await socket.journal.wait("the refusal", ({ kind, reply }) => kind === "end" || reply?.error);
      if (reply) assert.ok([102, 103, 107].includes(reply.error.code), JSON.stringify(reply));
      else assert.ok([3501, 1003, 1007].includes(code), `closed with ${code}`);
    });
  }

  test("unknown fields are ignored, at every level", async (t) => {
    const socket = await opened(t);
    const room = unique("h-");
    const strange = { zz: [1, { deep: null }], flag: 7, profile: "p", "": 0 };
    socket.say({ id: 1, connect: { name: "x", ...strange } }, { id: 2, subscribe: { channel: room, ...strange, flag: 0 }, later: 1 });
    assert.ok((await socket.answer(1)).connect.client);
    assert.ok((await socket.answer(2)).subscribe);
    await server.publish(room, { n: 1 });
    await socket.journal.wait("the publication", ({ reply }) => reply?.push?.pub?.data.n === 1);
  });

  test("a channel written with escapes is the same room", async (t) => {
    const socket = await connected(t);
    const room = unique("h-");
    const escaped = [...room].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
    socket.text(`{"id":2,"subscribe":{"channel":"${escaped}"}}`);
    await socket.answer(2);
    await server.publish(room, { n: 1 });
    const { reply } = await socket.journal.wait("the publication", ({ reply }) => reply?.push?.pub);
    assert.equal(reply.push.channel, room);
  });

  test("data with line breaks between its tokens stays one line for everybody", async (t) => {
    const socket = await connected(t);
    const room = unique("h-");
    socket.say({ id: 2, subscribe: { channel: room } });
    await socket.answer(2);
    await server.publish(room, '{\n  "a": [\r\n 1,\n 2 ],\n "text": "line\\nbreak" }', { "content-type": "application/json" });
    const { reply } = await socket.journal.wait("the publication", ({ reply }) => reply?.push?.pub);
    assert.deepEqual(reply.push.pub.data, { a: [1, 2], text: "line\nbreak" });
  });

  test("subscribing twice: 105; unsubscribing from nothing: fine", async (t) => {
    const socket = await connected(t);
    const channel = unique("h-");
    socket.say({ id: 2, subscribe: { channel } }, { id: 3, subscribe: { channel } }, { id: 4, unsubscribe: { channel: unique("h-") } });
    assert.ok((await socket.answer(2)).subscribe);
    assert.equal((await socket.answer(3)).error.code, 105);
    assert.deepEqual((await socket.answer(4)).unsubscribe, {});
  });

  test("a method that does not exist, the old ping: an error, or closed as a bad request", async (t) => {
    for (const command of [{ id: 2, fly: {} }, { id: 2, ping: {} }]) {
      const socket = await connected(t);
      socket.say(command);
      const { code, reply } = await socket.journal.wait("the refusal", ({ kind, reply }) => kind === "end" || reply?.error);
      if (reply) assert.ok([104, 108].includes(reply.error.code), JSON.stringify(reply));
      else assert.equal(code, 3501);
    }
  });

  test("publishing nothing: an error, or closed as a bad request; nobody gets anything", async (t) => {
    const socket = await connected(t);
    const room = unique("h-");
    socket.say({ id: 2, subscribe: { channel: room } });
    await socket.answer(2);
    socket.say({ id: 3, publish: { channel: room } });
    const refused = ({ kind, reply }) => kind === "end" || reply?.id === 3;
    const { code, reply } = await socket.journal.wait("the refusal", refused);
    if (reply) assert.equal(reply.error?.code, 107, JSON.stringify(reply));
    else assert.equal(code, 3501);
    assert.equal((await server.publish(room, { n: 1 })).offset, 1);
  });

  test("a frame of 65 KiB is closed with 1009, for a stock client terminal", async (t) => {
    const one = new Member(server.url, "websocket");
    t.after(() => one.close());
    await one.connect();
    const subscription = await one.subscribe(unique("h-"));
    subscription.publish({ filler: "x".repeat(65 * 1024) }).catch(() => {}); // never answered
    const { code } = await one.journal.wait("the close", "disconnected");
    assert.equal(code, 3, "message size limit exceeded, as the client calls it");
  });

  test("a thousand subscribes in a frame: each answered, or the connection closed", async (t) => {
    const socket = await connected(t);
    const commands = Array.from({ length: 1000 }, (_, index) => ({ id: index + 2, subscribe: { channel: unique("many-") } }));
    socket.say(...commands);
    // In any order: a refusal may overtake what has to ask another shard.
    const isOver = ({ kind, nth }) => kind === "end" || (kind === "reply" && nth === 1001);
    const { code } = await socket.journal.wait("the last answer", isOver);
    if (code !== undefined) return assert.ok([3501, 3505].includes(code), `closed with ${code}`);
    const replies = socket.journal.of("reply").map(({ reply }) => reply).filter(({ id }) => id > 1);
    assert.deepEqual(replies.map(({ id }) => id).sort((a, b) => a - b), commands.map(({ id }) => id));
    for (const { subscribe, error } of replies) assert.ok(subscribe || error.code === 106, JSON.stringify(error));
  });

  test("histories and presences of rooms that never were: empty, or not available; and they still are not", async (t) => {
    const socket = await connected(t);
    const [deep, who, plain] = [unique("h-"), unique("who-"), unique("plain-")];
    socket.say(
      { id: 2, history: { channel: deep, limit: -1 } },
      { id: 3, presence: { channel: who } },
      { id: 4, history: { channel: plain, limit: 1 } },
      { id: 5, presence_stats: { channel: plain } },
      { id: 6, history: { channel: deep, limit: -2_000_000_000, since: { offset: Number.MAX_SAFE_INTEGER, epoch: "ffff" } } },
    );
    for (const id of [2, 3, 4, 5, 6]) await socket.answer(id);
    const { channels } = await server.api("channels");
    for (const room of [deep, who, plain]) assert.equal(channels[room], undefined, room);
  });

  const RESUMES = [
    { recover: true, epoch: "ffffffffffffffffffff", offset: 1 },
    { recover: true, epoch: "not hex!", offset: 0 },
    { recover: true, offset: Number.MAX_SAFE_INTEGER },
    { recover: true, epoch: "", offset: 7 },
  ];
  for (const position of RESUMES) {
    test(`a forged position is not recovered from: ${JSON.stringify(position)}`, async (t) => {
      const socket = await connected(t);
      const room = unique("h-");
      await server.publish(room, { n: 1 });
      socket.say({ id: 2, subscribe: { channel: room, ...position } });
      const { subscribe } = await socket.answer(2);
      assert.equal(subscribe.was_recovering, true);
      assert.equal(subscribe.recovered ?? false, false);
      assert.equal(subscribe.offset, 1);
    });
  }

  test("http_stream and sse: what is no connect is refused before a stream begins", async () => {
    const ask = async (path, options) => (await fetch(new URL(path, server.url), options)).status;
    const post = (body) => ({ method: "POST", headers: { "content-type": "application/json" }, body });
    assert.equal(await ask("connection/http_stream", post("")), 400);
    assert.equal(await ask("connection/http_stream", post("{")), 400);
    assert.equal(await ask("connection/http_stream", post('{"id":1,"rpc":{}}')), 400);
    assert.equal(await ask("connection/http_stream"), 405);
    assert.equal(await ask("connection/sse"), 400);
    assert.equal(await ask("connection/sse?cf_connect=%7B"), 400);
    assert.equal(await ask("connection/sse?cf_connect=%ff"), 400);
    assert.equal(await ask("connection/sse", { method: "DELETE" }), 405);
    assert.equal(await ask("connection/http_stream", post(JSON.stringify({ id: 1, connect: { data: "x".repeat(65 * 1024) } }))), 413);
  });

  test("/emulation: malformed 400, no such node 404, no such session 204, too long 413, other methods 405, preflight 204", async (t) => {
    const stream = WireStream.httpStream(server.url, CONNECT);
    t.after(() => stream.close());
    const { reply } = await stream.journal.wait("connected", ({ reply }) => reply?.connect);
    const { session, node } = reply.connect;
    const ask = async (body, options) => {
      const headers = { "content-type": "application/json" };
      return (await fetch(new URL("emulation", server.url), { method: "POST", headers, body, ...options })).status;
    };
    const say = (fields) => ask(JSON.stringify({ session, node, data: '{"id":2,"rpc":{}}', ...fields }));
    assert.equal(await ask("{"), 400);
    assert.equal(await ask('{"data":7}'), 400);
    // A stock client takes 404 for a restarted server and gives its stream up at once: before it has read why the
    // server ended its session, if the two cross.
    assert.equal(await say({ session: "00000000000000000000000000000000" }), 204);
    assert.equal(await say({ session: "" }), 204);
    assert.equal(await say({ node: "another" }), 404);
    assert.equal(await say({ data: "x".repeat(70 * 1024) }), 413);
    assert.equal(await ask(undefined, { method: "GET" }), 405);
    assert.equal(await ask(undefined, { method: "OPTIONS" }), 204);
    assert.deepEqual(stream.journal.of("end"), [], "none of it hurt the stream");
    assert.equal(await say({}), 204);
    await stream.journal.wait("the answer", ({ reply }) => reply?.id === 2);
    await say({ data: "no JSON" });
    const bad = await stream.journal.wait("the disconnect", ({ reply }) => reply?.push?.disconnect);
    assert.equal(bad.reply.push.disconnect.code, 3501);
    await stream.journal.wait("the stream's end", "end");
  });

  test("the heads of streams keep proxies from holding them back", async (t) => {
    const abort = new AbortController();
    t.after(() => abort.abort());
    const address = new URL(`connection/sse?cf_connect=${encodeURIComponent(CONNECT)}`, server.url);
    const events = await fetch(address, { signal: abort.signal });
    assert.equal(events.status, 200);
    assert.match(events.headers.get("content-type"), /^text\/event-stream/);
    assert.equal(events.headers.get("x-accel-buffering"), "no");
    assert.match(events.headers.get("cache-control"), /no-store/);
    const stream = WireStream.httpStream(server.url, CONNECT);
    t.after(() => stream.close());
    const { headers, status } = await stream.journal.wait("the head", "head");
    assert.equal(status, 200);
    assert.equal(headers["x-accel-buffering"], "no");
  });
});
