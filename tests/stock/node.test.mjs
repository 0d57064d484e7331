// Stock centrifuge-js in Node against a server, over WebSocket, HTTP streams and server-sent events. The numbers are those
// of the list of what a compatible server has to do.
//
//   SHARDCAST_BIN=target/release/shardcast node --test tests/stock/node.test.mjs     (tests/stock/run.sh installs the packages)

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dataOf, lately, Member, published, TRANSPORTS, unique } from "./clients.mjs";
import { Proxy } from "./proxy.mjs";
import { StockServer } from "./server.mjs";
import { WireSocket, WireStream } from "./wire.mjs";

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Fails with the error that the server answered. */
async function refused(promise, code) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.code, code, `${code} expected: ${error.code} ${error.message}`);
    return true;
  });
}

describe("stock centrifuge-js", { concurrency: true }, () => {
  let server;
  before(async () => {
    server = await StockServer.start();
  });
  after(() => server?.stop());

  /** A connected client that ends with its test. */
  async function member(t, transport, { base = server.url, ...options } = {}) {
    const made = new Member(base, transport, options);
    t.after(() => made.close());
    made.id = await made.connect();
    return made;
  }

  async function proxied(t, target = server) {
    const proxy = await Proxy.start(target.port);
    t.after(() => proxy.stop());
    return proxy;
  }

  /** Publishes {n} for each number, one after the other; the last outcome. */
  async function publishNumbers(room, from, to) {
    let outcome;
    for (const n of numbers(from, to)) outcome = await server.publish(room, { n });
    return outcome;
  }

  for (const transport of TRANSPORTS) {
    describe(transport, { concurrency: true }, () => {
      test("1: connect and three subscribes, one frame, get four replies", async (t) => {
        const one = new Member(server.url, transport);
        t.after(() => one.close());
        const subscriptions = [1, 2, 3].map(() => one.room(unique("plain-")));
        for (const subscription of subscriptions) subscription.subscribe();
        one.client.connect();
        await Promise.all(subscriptions.map((subscription) => subscription.ready(10_000)));

        const frames = one.wire.of("sent").map(({ commands }) => commands.map((command) => Object.keys(command).find((key) => key !== "id")));
        const subscribes = ["subscribe", "subscribe", "subscribe"];
        if (transport === "websocket") assert.deepEqual(frames[0], ["connect", ...subscribes]);
        else assert.deepEqual(frames.slice(0, 2), [["connect"], subscribes]);
        const replies = one.wire.of("received").map(({ reply }) => reply).filter(({ id }) => id);
        assert.deepEqual(replies.map(({ id }) => id).sort(), [1, 2, 3, 4]);
        const connect = replies.find(({ id }) => id === 1).connect;
        assert.ok(connect.client, "an id for the connection");
        assert.equal(connect.ping, 1);
        assert.equal(connect.pong, true);
        if (transport !== "websocket") assert.ok(connect.session && connect.node, "what /emulation needs");
      });

      test("1: the client's id is a UUID, another one for each connection", async (t) => {
        const ids = [(await member(t, transport)).id, (await member(t, transport)).id];
        for (const id of ids) assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        assert.notEqual(ids[0], ids[1]);
      });

      test("2: a name that no room can have is refused", async (t) => {
        const one = await member(t, transport);
        const subscription = one.room("no room has blanks");
        subscription.subscribe();
        const { code } = await subscription.journal.wait("the refusal", "unsubscribed");
        assert.ok([102, 107].includes(code), `refused with ${code}`);
        assert.equal(one.client.state, "connected", "the connection goes on");
      });

      test("2: what a room does not permit is refused with 103, what it has not with 108", async (t) => {
        const one = await member(t, transport);
        const listen = await one.subscribe(unique("listen-"));
        await refused(listen.publish({ n: 1 }), 103);
        await refused(listen.history({ limit: 10 }), 108);
        await refused(listen.presence(), 108);
        assert.equal(one.client.state, "connected");
      });

      test("3: a publication reaches every member, its sender included, whatever they speak", async (t) => {
        const room = unique("plain-");
        const [sender, other] = [await member(t, transport), await member(t, "websocket")];
        const raw = await new WireSocket(server.url, `ws/${room}`).open();
        t.after(() => raw.close());
        const subscriptions = [await sender.subscribe(room), await other.subscribe(room)];
        assert.deepEqual(await subscriptions[0].publish({ text: "hé", n: [1, 2.5, null] }), {});
        for (const subscription of subscriptions) {
          const [{ data, info }] = await subscription.journal.count("the publication", "publication", 1);
          assert.deepEqual(data, { text: "hé", n: [1, 2.5, null] });
          assert.equal(info.client, sender.id, "who published is told");
          assert.equal(info.user, sender.name);
        }
        const heard = await raw.journal.wait("the raw message", "message");
        assert.equal(heard.isBinary, false);
        assert.deepEqual(JSON.parse(heard.text), { text: "hé", n: [1, 2.5, null] });

        raw.text("plain text");
        raw.text('{ "json":\r\n true,\n"lines":\r 3 }'); // no line may end inside a frame or an event
        raw.socket.send(Buffer.from([0, 255, 1]), { binary: true });
        await published(subscriptions[0], 4); // two publishers have no order between them
        await server.publish(room, { from: "outside" });
        for (const subscription of subscriptions) {
          const seen = await published(subscription, 5);
          assert.deepEqual(seen[4], { from: "outside" });
          assert.deepEqual(seen.slice(1, 4), ["plain text", { json: true, lines: 3 }, Buffer.from([0, 255, 1]).toString("base64")]);
          const [, , , binary, outside] = subscription.journal.of("publication");
          assert.deepEqual(binary.tags, { encoding: "base64" });
          assert.equal(outside.info, undefined, "nobody in particular published it");
        }
      });

      test("3: publishing into a room that one has not joined is refused, and reaches nobody", async (t) => {
        const room = unique("plain-");
        const [outsider, inside] = [await member(t, transport), await member(t, "websocket")];
        const subscription = await inside.subscribe(room);
        await refused(outsider.client.publish(room, { n: 0 }), 103);
        await server.publish(room, { n: 1 });
        assert.deepEqual(await published(subscription, 1), [{ n: 1 }]);
      });

      test("4: history: all, none, pages, backwards, from a position", async (t) => {
        const room = unique("h-");
        const { epoch } = await publishNumbers(room, 1, 5);
        const one = await member(t, transport);
        const subscription = await one.subscribe(room);
        const cases = [
          [{ limit: -1 }, [1, 2, 3, 4, 5]],
          [{ limit: 0 }, []],
          [{ limit: 2 }, [1, 2]],
          [{ limit: 2, reverse: true }, [5, 4]],
          [{ limit: 2, since: { offset: 2, epoch } }, [3, 4]],
          [{ limit: -1, since: { offset: 5, epoch } }, []],
          [{ limit: -1, since: { offset: 3, epoch }, reverse: true }, [2, 1]],
        ];
        for (const [options, expected] of cases) {
          const { publications, ...position } = await subscription.history(options);
          const found = publications.map(({ data }) => data.n);
          assert.deepEqual(found, expected, JSON.stringify(options));
          assert.deepEqual(publications.map(({ offset }) => offset), expected);
          assert.deepEqual(position, { offset: 5, epoch });
        }
        await refused(subscription.history({ limit: -1, since: { offset: 1, epoch: "forged" } }), 112);
      });

      test("4: presence, by connection and by user; counts in every room", async (t) => {
        const room = unique("who-");
        const name = unique("ann-");
        const members = [await member(t, transport, { name }), await member(t, transport, { name }), await member(t, "websocket")];
        const subscriptions = [];
        for (const each of members) subscriptions.push(await each.subscribe(room));
        const { clients } = await subscriptions[0].presence();
        assert.deepEqual(Object.keys(clients).sort(), members.map(({ id }) => id).sort());
        for (const { id, name: user } of members) {
          assert.equal(clients[id].user, user);
          assert.equal(clients[id].client, id);
        }
        assert.deepEqual(await subscriptions[1].presenceStats(), { numClients: 3, numUsers: 2 });

        const plain = unique("plain-");
        const counted = await members[0].subscribe(plain);
        await members[2].subscribe(plain);
        assert.equal((await counted.presenceStats()).numClients, 2);
      });

      test("4: joins and leaves are told where the room has them", async (t) => {
        const room = unique("who-");
        const one = await member(t, transport);
        const watching = await one.subscribe(room, { joinLeave: true });
        const other = await member(t, "websocket");
        await other.subscribe(room);
        const isOther = (kind) => (entry) => entry.kind === kind && entry.info.client === other.id;
        const join = await watching.journal.wait("the join", isOther("join"));
        assert.equal(join.info.user, other.name);
        other.close();
        const leave = await watching.journal.wait("the leave", isOther("leave"));
        assert.equal(leave.info.user, other.name);
      });

      test("4: a second tab, and a reconnect at once, are neither a join nor a leave", async (t) => {
        const [room, name] = [unique("who-"), unique("ann-")];
        const proxy = await proxied(t);
        const watcher = await member(t, "websocket");
        const watching = await watcher.subscribe(room, { joinLeave: true });
        const tabs = [await member(t, transport, { name, base: proxy.url }), await member(t, transport, { name })];
        const subscriptions = [];
        for (const tab of tabs) subscriptions.push(await tab.subscribe(room));
        const isUser = (kind) => (entry) => entry.kind === kind && entry.info.user === name;
        await watching.journal.wait("the join", isUser("join"));
        const journal = subscriptions[0].journal.mark();
        tabs[1].close();
        proxy.cut();
        await subscriptions[0].journal.wait("back", "subscribed", { from: journal });
        // Another user who comes and goes later than that: what was to be told has been.
        const other = await member(t, transport);
        await other.subscribe(room);
        const isOther = (kind) => (entry) => entry.kind === kind && entry.info.user === other.name;
        await watching.journal.wait("another's join", isOther("join"));
        other.close();
        await watching.journal.wait("another's leave", isOther("leave"));
        assert.equal(watching.journal.entries.filter(isUser("join")).length, 1);
        assert.equal(watching.journal.entries.filter(isUser("leave")).length, 0);
        tabs[0].close();
        await watching.journal.wait("the leave", isUser("leave"));
      });

      test("4: a call is answered with not available, a message gets no answer and does no harm", async (t) => {
        const one = await member(t, transport);
        await refused(one.client.rpc("anything", { a: 1 }), 108);
        const from = one.wire.mark();
        await one.client.send({ unheard: true });
        const room = unique("plain-");
        const subscription = await one.subscribe(room);
        await server.publish(room, { n: 1 });
        assert.deepEqual(await published(subscription, 1), [{ n: 1 }]);
        const errors = one.wire.of("received", from).filter(({ reply }) => reply.error);
        assert.deepEqual(errors, []);
      });

      test("5: a client that answers pings stays", async (t) => {
        const one = await member(t, transport);
        const isPing = ({ kind, reply }) => kind === "received" && Object.keys(reply).length === 0;
        let from = 0;
        for (const number of [1, 2, 3]) {
          await one.wire.wait(`ping ${number}`, isPing, { from });
          const pongs = ({ kind, commands }) => kind === "sent" && commands.some((command) => Object.keys(command).length === 0);
          await one.wire.wait(`pong ${number}`, pongs, { from });
          from = one.wire.mark();
        }
        assert.equal(one.client.state, "connected");
        assert.equal(one.journal.of("connected").length, 1, "it never had to reconnect");
      });

      test("5: a client with little patience is pinged as often as it was told, from the first on", async (t) => {
        const one = await member(t, transport, { maxServerPingDelay: 1500 });
        const isPing = ({ kind, reply }) => kind === "received" && Object.keys(reply).length === 0;
        await one.wire.wait("the first ping", isPing);
        await one.wire.wait("the second", isPing, { from: one.wire.mark() });
        assert.equal(one.journal.of("connected").length, 1, lately(one));
        assert.equal(one.client.state, "connected");
      });

      test("5: a client that does not answer pings is closed with 3012", async (t) => {
        const connect = JSON.stringify({ id: 1, connect: {} });
        if (transport === "websocket") {
          const silent = await new WireSocket(server.url).open();
          t.after(() => silent.close());
          silent.text(connect);
          assert.equal((await silent.end()).code, 3012);
          return;
        }
        const silent = transport === "sse" ? WireStream.sse(server.url, connect) : WireStream.httpStream(server.url, connect);
        t.after(() => silent.close());
        const { reply } = await silent.journal.wait("the disconnect", ({ reply }) => reply?.push?.disconnect);
        assert.equal(reply.push.disconnect.code, 3012);
        await silent.journal.wait("the stream's end", "end");
      });

      test("6: what was published while the connection was down comes with the resubscribe, in order, none twice", async (t) => {
        const room = unique("h-");
        const proxy = await proxied(t);
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(room);
        await publishNumbers(room, 1, 2);
        await published(subscription, 2);
        let last = 2;
        for (const round of [1, 2, 3]) {
          const [events, journal] = [one.journal.mark(), subscription.journal.mark()];
          proxy.refuse();
          proxy.cut();
          await one.journal.wait("the loss is noticed", "connecting", { from: events });
          await publishNumbers(room, last + 1, last + 3);
          proxy.pass();
          const subscribed = await subscription.journal.wait("the resubscribe", "subscribed", { from: journal });
          assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, true], `round ${round}`);
          await publishNumbers(room, last + 4, last + 4); // live, after the replay
          const seen = await published(subscription, 4, journal);
          assert.deepEqual(seen.map(({ n }) => n), numbers(last + 1, last + 4), `round ${round}`);
          last += 4;
        }
        assert.deepEqual(dataOf(subscription).map(({ n }) => n), numbers(1, last));
      });

      test("6: cut again and again while a publisher goes on: nothing lost, nothing twice, nothing out of order", async (t) => {
        const room = unique("deep-");
        const proxy = await proxied(t);
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(room);
        let last = 1;
        await publishNumbers(room, 1, last);
        let isPublishing = true;
        const publisher = (async () => {
          while (isPublishing) await server.publish(room, { n: ++last });
        })();
        try {
          for (const round of numbers(1, 6)) {
            const journal = subscription.journal.mark();
            proxy.cut();
            const subscribed = await subscription.journal.wait(`cut ${round}: back`, "subscribed", { from: journal });
            assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, true], `cut ${round}: ${lately(one)}`);
            await published(subscription, 40, journal);
          }
        } finally {
          isPublishing = false;
          await publisher;
        }
        await publishNumbers(room, last + 1, last + 1); // nothing can come after this one
        const seen = await published(subscription, last + 1);
        assert.deepEqual(seen.map(({ n }) => n), numbers(1, last + 1));
      });

      test("6: the first publications of a room, while its only member is away", async (t) => {
        const room = unique("h-");
        const proxy = await proxied(t);
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(room);
        const [events, journal] = [one.journal.mark(), subscription.journal.mark()];
        proxy.refuse();
        proxy.cut();
        await one.journal.wait("the loss is noticed", "connecting", { from: events });
        await publishNumbers(room, 1, 3);
        proxy.pass();
        const subscribed = await subscription.journal.wait("the resubscribe", "subscribed", { from: journal });
        assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, true], lately(one));
        assert.deepEqual((await published(subscription, 3)).map(({ n }) => n), [1, 2, 3]);
      });

      test("6: bytes that are held for a while, and a subscriber that only then reads on", async (t) => {
        const room = unique("h-");
        const proxy = await proxied(t);
        const one = await member(t, transport, { base: proxy.url, maxServerPingDelay: 500 });
        const subscription = await one.subscribe(room);
        const events = one.journal.mark();
        proxy.hold();
        await publishNumbers(room, 1, 3);
        const { code } = await one.journal.wait("no ping comes", "connecting", { from: events });
        assert.equal(code, 2);
        await publishNumbers(room, 4, 6);
        proxy.pass();
        assert.deepEqual((await published(subscription, 6)).map(({ n }) => n), numbers(1, 6));
      });

      test("7: another epoch, a position from the future, one too old: told, not recovered, live from now", async (t) => {
        const one = await member(t, transport);
        const room = unique("h-");
        const { epoch } = await publishNumbers(room, 1, 3);
        const short = unique("short-");
        const { epoch: shortEpoch } = await publishNumbers(short, 1, 9);
        const cases = [
          [room, { offset: 1, epoch: "forged" }, 3],
          [room, { offset: 1_000_000, epoch }, 3],
          [short, { offset: 2, epoch: shortEpoch }, 9],
        ];
        for (const [channel, since, top] of cases) {
          const each = await member(t, transport);
          const subscription = await each.subscribe(channel, { since });
          const [subscribed] = subscription.journal.of("subscribed");
          const told = JSON.stringify({ since, subscribed });
          assert.equal(subscribed.wasRecovering, true, told);
          assert.equal(subscribed.recovered, false, told);
          assert.equal(subscribed.streamPosition.offset, top, told);
          assert.equal(subscribed.hasRecoveredPublications, false, told);
          each.live = subscription;
        }
        // The oldest position that a history of five still recovers.
        const subscription = await one.subscribe(short, { since: { offset: 4, epoch: shortEpoch } });
        assert.equal(subscription.journal.of("subscribed")[0].recovered, true);
        await publishNumbers(short, 10, 10);
        assert.deepEqual((await published(subscription, 6)).map(({ n }) => n), numbers(5, 10));
      });

      test("7: the epoch of a room without history is never recovered from, and nobody is told of a loss", async (t) => {
        const proxy = await proxied(t);
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(unique("plain-"));
        const journal = subscription.journal.mark();
        proxy.cut();
        const subscribed = await subscription.journal.wait("the resubscribe", "subscribed", { from: journal });
        assert.equal(subscribed.recoverable, false);
        assert.equal(subscribed.wasRecovering, false);
      });

      test("8: unsubscribed by the server with 2000: stays so", async (t) => {
        const [room, other] = [unique("h-"), unique("h-")];
        const one = await member(t, transport);
        const subscription = await one.subscribe(room);
        const fence = await one.subscribe(other);
        await server.api("unsubscribe", { user: one.name, channel: room });
        const { code } = await subscription.journal.wait("the unsubscribe", "unsubscribed");
        assert.equal(code, 2000);
        await server.publish(room, { n: 1 });
        await server.publish(other, { n: 1 });
        await published(fence, 1);
        assert.deepEqual(dataOf(subscription), []);
        assert.equal(subscription.state, "unsubscribed");
      });

      for (const lag of ["skip", "slow"]) {
        test(`8: a positioned subscriber that lags (${lag}) never gets a gap: it comes back, and is told what is lost`, async (t) => {
          const room = unique(`${lag}-`);
          const proxy = await proxied(t);
          const one = await member(t, transport, { base: proxy.url, maxServerPingDelay: 15_000 });
          const subscription = await one.subscribe(room);
          await publishNumbers(room, 1, 1);
          await published(subscription, 1);
          proxy.hold();
          // With what the kernel and the proxy hold, well above the window and the history of 16.
          const filler = "x".repeat(60_000);
          for (const n of numbers(2, 400)) await server.publish(room, { n, filler });
          proxy.pass();
          const told = await subscription.journal.wait("the loss", ({ wasRecovering, recovered }) => wasRecovering && !recovered);
          assert.ok(told.streamPosition.offset <= 400, JSON.stringify(told));
          await publishNumbers(room, 401, 401);
          await subscription.journal.wait("the newest", ({ kind, data }) => kind === "publication" && data.n === 401);
          let expected = 1;
          for (const entry of subscription.journal.entries) {
            if (entry.kind === "subscribed" && entry.wasRecovering && !entry.recovered) expected = entry.streamPosition.offset + 1;
            if (entry.kind !== "publication") continue;
            assert.equal(entry.offset, expected, "dense");
            assert.equal(entry.data.n, entry.offset);
            expected += 1;
          }
        });
      }

      test("9: closed with 3001: reconnects; with 3500 or by default: does not", async (t) => {
        const one = await member(t, transport);
        const subscription = await one.subscribe(unique("h-"));
        const [events, journal] = [one.journal.mark(), subscription.journal.mark()];
        await server.api("disconnect", { user: one.name, disconnect: { code: 3001, reason: "shutdown" } });
        const { code } = await one.journal.wait("the close", "connecting", { from: events });
        // A pong of a stream is a request of its own; during the drain nobody takes it, which ends the stream too.
        assert.ok(code === 3001 || (transport !== "websocket" && code === 1), lately(one));
        const again = await subscription.journal.wait("back", "subscribed", { from: journal });
        assert.equal(again.recovered, true);

        await server.api("disconnect", { user: one.name, disconnect: { code: 3500, reason: "invalid token" } });
        const ended = await one.journal.wait("the terminal close", "disconnected", { from: events });
        assert.deepEqual([ended.code, ended.reason], [3500, "invalid token"]);

        const other = await member(t, transport);
        await server.api("disconnect", { user: other.name });
        assert.equal((await other.journal.wait("the close", "disconnected")).code, 3503);
      });

      test("9: one connection of a user is closed, the others stay", async (t) => {
        const name = unique("ann-");
        const members = [await member(t, transport, { name }), await member(t, transport, { name })];
        await server.api("disconnect", { user: name, client: members[0].id });
        await members[0].journal.wait("the close", "disconnected");
        await server.api("disconnect", { user: name, whitelist: [members[1].id] });
        await assert.doesNotReject(members[1].subscribe(unique("plain-")));
        assert.equal(members[1].journal.of("connected").length, 1);
      });

      test("10: a connection that the server calls expired comes back with a new one", async (t) => {
        const one = await member(t, transport);
        const events = one.journal.mark();
        await server.api("refresh", { user: one.name, expired: true });
        const { code } = await one.journal.wait("the close", "connecting", { from: events });
        assert.equal(code, 3005, lately(one));
        await one.journal.wait("back", "connected", { from: events });
      });

      test("10: expiry, refresh, and an expired token on connect", { skip: "connections are anonymous: no token is looked at" });

      test("11: subscribed by the server: publications, then unsubscribed", async (t) => {
        const room = unique("h-");
        const one = await member(t, transport);
        await server.api("subscribe", { user: one.name, channel: room });
        const subscribed = await one.journal.wait("the server's subscription", "subscribed");
        assert.equal(subscribed.channel, room);
        assert.equal(subscribed.recoverable, true);
        await server.publish(room, { n: 1 });
        const publication = await one.journal.wait("the publication", "publication");
        assert.deepEqual([publication.channel, publication.data, publication.offset], [room, { n: 1 }, 1]);
        await server.api("unsubscribe", { user: one.name, channel: room });
        await one.journal.wait("the end of it", "unsubscribed");
      });

      test("11: a room that the server puts every connection into: publications, and recovery with the connect", async (t) => {
        const room = unique("h-");
        const own = await StockServer.start({ sessions: `rooms = ["${room}"]` });
        t.after(() => own.stop());
        const proxy = await proxied(t, own);
        const one = await member(t, transport, { base: proxy.url });
        const first = await one.journal.wait("the server's subscription", "subscribed");
        assert.deepEqual([first.channel, first.recoverable, first.wasRecovering], [room, true, false]);
        await own.publish(room, { n: 1 });
        await one.journal.wait("the live one", "publication");
        const events = one.journal.mark();
        proxy.refuse();
        proxy.cut();
        await one.journal.wait("the loss is noticed", "connecting", { from: events });
        for (const n of [2, 3]) await own.publish(room, { n });
        proxy.pass();
        const again = await one.journal.wait("the server's subscription", "subscribed", { from: events });
        assert.deepEqual([again.wasRecovering, again.recovered], [true, true], lately(one));
        await own.publish(room, { n: 4 });
        const publications = await one.journal.count("all four", "publication", 4);
        assert.deepEqual(publications.map(({ data, offset }) => [data.n, offset]), [[1, 1], [2, 2], [3, 3], [4, 4]]);
      });

      test("recovery of the newest only: at first, and after a reconnect unless it was seen", async (t) => {
        const room = unique("cache-");
        const proxy = await proxied(t);
        await publishNumbers(room, 1, 3);
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(room);
        assert.deepEqual((await published(subscription, 1)).map(({ n }) => n), [3], "the newest, for who comes anew");
        const resubscribed = async (meanwhile) => {
          const [events, journal] = [one.journal.mark(), subscription.journal.mark()];
          proxy.refuse();
          proxy.cut();
          await one.journal.wait("the loss is noticed", "connecting", { from: events });
          await meanwhile();
          proxy.pass();
          return subscription.journal.wait("the resubscribe", "subscribed", { from: journal });
        };
        const missed = await resubscribed(() => publishNumbers(room, 4, 6));
        assert.deepEqual([missed.wasRecovering, missed.recovered], [true, true], lately(one));
        await resubscribed(async () => {});
        await publishNumbers(room, 7, 7);
        assert.deepEqual((await published(subscription, 3)).map(({ n }) => n), [3, 6, 7]);
      });

      /** Publication `n` of a room in which a few fields change each time. */
      const state = Object.fromEntries(numbers(0, 59).map((key) => [`field-${key}-é`, `value of ${key} \u{1f600}`]));
      const step = (n) => ({ n, ...state, [`field-${n % 60}-é`]: `changed by ${n}` });

      /** Publishes, and waits until a subscription has so many: what comes with a whole publication may be whole too. */
      async function publishAndSee(subscription, count, payload) {
        await server.publish(subscription.channel, payload);
        return published(subscription, count);
      }

      test("12: deltas: each publication as it was published, also across a reconnect", async (t) => {
        const room = unique("delta-");
        const proxy = await proxied(t);
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(room, { delta: "fossil" });
        await publishAndSee(subscription, 1, step(1));
        for (const n of numbers(2, 20)) await server.publish(room, step(n));
        await published(subscription, 20);
        const { numFullPayloads, numDeltaPayloads, bytesReceived, bytesDecoded } = subscription.deltaStats();
        assert.deepEqual([numFullPayloads, numDeltaPayloads], [1, 19], "the first is whole");
        assert.ok(bytesReceived < bytesDecoded / 5, `${bytesReceived} bytes for ${bytesDecoded}`);
        const journal = subscription.journal.mark();
        proxy.refuse();
        proxy.cut();
        await subscription.journal.wait("the loss", "subscribing", { from: journal });
        for (const n of numbers(21, 30)) await server.publish(room, step(n));
        proxy.pass();
        await published(subscription, 30);
        assert.equal(subscription.deltaStats().numDeltaPayloads, 19, "what was missed is whole");
        await publishAndSee(subscription, 31, step(31));
        for (const n of numbers(32, 40)) await server.publish(room, step(n));
        const seen = await published(subscription, 40);
        seen.forEach((data, index) => assert.deepEqual(data, step(index + 1)));
        assert.ok(subscription.deltaStats().numDeltaPayloads >= 19 + 9, "and what comes then is not");
      });

      test("12: deltas of a room without history, of any payload, beside a client that did not ask", async (t) => {
        const room = unique("delta_plain-");
        const [one, two] = [await member(t, transport), await member(t, transport)];
        const [changes, whole] = [await one.subscribe(room, { delta: "fossil" }), await two.subscribe(room)];
        const filler = "some text that stays as it is ".repeat(20);
        const payloads = [
          step(1), step(2), `not JSON: ${filler}1`, `not JSON: ${filler}2`, "[1,\n 2]",
          new Uint8Array(600).fill(1), new Uint8Array(700).fill(1), step(3), step(3),
        ];
        await publishAndSee(changes, 1, payloads[0]);
        for (const payload of payloads.slice(1)) await server.publish(room, payload);
        const [seen, expected] = [await published(changes, payloads.length), await published(whole, payloads.length)];
        assert.deepEqual(seen, expected);
        assert.deepEqual([seen[1], seen[3], seen[4]], [step(2), payloads[3], [1, 2]]);
        assert.equal(changes.journal.of("publication")[6].tags.encoding, "base64");
        assert.equal(changes.deltaStats().numDeltaPayloads, 4, "where the one before resembles it");
        assert.equal(whole.deltaStats().numDeltaPayloads, 0);
        // Again from the beginning, in the same connection; the other subscription goes on.
        changes.unsubscribe();
        const journal = changes.journal.mark();
        changes.subscribe();
        await changes.journal.wait("the resubscribe", "subscribed", { from: journal });
        await publishAndSee(changes, payloads.length + 1, step(4));
        for (const n of [5, 6]) await server.publish(room, step(n));
        const again = await published(changes, payloads.length + 3);
        assert.deepEqual(again.slice(-3), [step(4), step(5), step(6)]);
        assert.equal(changes.deltaStats().numDeltaPayloads, 4 + 2, "the first after a subscribe is whole");
      });

      test("12: deltas where only the newest is recovered", async (t) => {
        const room = unique("delta_cache-");
        const proxy = await proxied(t);
        for (const n of [1, 2, 3]) await server.publish(room, step(n));
        const one = await member(t, transport, { base: proxy.url });
        const subscription = await one.subscribe(room, { delta: "fossil" });
        await published(subscription, 1);
        await publishAndSee(subscription, 2, step(4));
        for (const n of [5, 6]) await server.publish(room, step(n));
        await published(subscription, 4);
        const journal = subscription.journal.mark();
        proxy.refuse();
        proxy.cut();
        await subscription.journal.wait("the loss", "subscribing", { from: journal });
        for (const n of [7, 8, 9]) await server.publish(room, step(n));
        proxy.pass();
        await published(subscription, 5);
        await publishAndSee(subscription, 6, step(10));
        for (const n of [11, 12]) await server.publish(room, step(n));
        assert.deepEqual(await published(subscription, 8), [3, 4, 5, 6, 9, 10, 11, 12].map(step));
        assert.ok(subscription.deltaStats().numDeltaPayloads >= 4, JSON.stringify(subscription.deltaStats()));
      });

      test("12: a room that makes no deltas sends none to who asks", async (t) => {
        const room = unique("plain-");
        const one = await member(t, transport);
        const subscription = await one.subscribe(room, { delta: "fossil" });
        for (const n of [1, 2, 3]) await server.publish(room, { n, filler: "y".repeat(500) });
        assert.deepEqual((await published(subscription, 3)).map(({ n }) => n), [1, 2, 3]);
        assert.equal(subscription.deltaStats().numDeltaPayloads, 0);
      });

      test("many rooms on one connection, each with its own publications", async (t) => {
        const one = await member(t, transport);
        const rooms = numbers(1, 40).map(() => unique("h-"));
        const subscriptions = await Promise.all(rooms.map((room) => one.subscribe(room)));
        await Promise.all(rooms.map((room) => publishNumbers(room, 1, 5)));
        for (const subscription of subscriptions) {
          assert.deepEqual((await published(subscription, 5)).map(({ n }) => n), [1, 2, 3, 4, 5], subscription.channel);
        }
        subscriptions[0].unsubscribe();
        await server.publish(rooms[0], { n: 6 });
        await server.publish(rooms[1], { n: 6 });
        await published(subscriptions[1], 6);
        assert.equal(dataOf(subscriptions[0]).length, 5, "no publication after the unsubscribe");
        const journal = subscriptions[0].journal.mark();
        subscriptions[0].subscribe();
        await subscriptions[0].journal.wait("subscribed again", "subscribed", { from: journal });
      });

      test("a server that restarts: 3001, back by itself, the loss of its history told", async (t) => {
        const own = await StockServer.start();
        t.after(() => own.stop());
        const room = unique("h-");
        const one = await member(t, transport, { base: own.url });
        const subscription = await one.subscribe(room);
        await own.publish(room, { n: 1 });
        await published(subscription, 1);
        const [events, journal] = [one.journal.mark(), subscription.journal.mark()];
        await own.drain();
        const { code } = await one.journal.wait("the close", "connecting", { from: events });
        // A pong of a stream is a request of its own; during the drain nobody takes it, which ends the stream too.
        assert.ok(code === 3001 || (transport !== "websocket" && code === 1), lately(one));
        await own.startAgain();
        const subscribed = await subscription.journal.wait("the resubscribe", "subscribed", { from: journal });
        assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, false]);
        const { offset, epoch } = await own.publish(room, { n: 2 });
        const [publication] = await subscription.journal.count("the live one", "publication", 1, { from: journal });
        assert.deepEqual([publication.data, publication.offset], [{ n: 2 }, offset]);
        assert.equal(subscribed.streamPosition.epoch, epoch);
      });
    });
  }
});
