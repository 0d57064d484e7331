// Two pages of the demo in one room: what one says the other sees, a push reaches both, and both come back by themselves
// after the server was killed and started again.
//
//   SHARDCAST_BIN=target/debug/shardcast node tests/browser/two_pages.mjs     its own server, all checks
//   node tests/browser/two_pages.mjs http://127.0.0.1:8080/                   a server that runs, without the restart
//
// CHROMIUM=… names the browser (default: chromium), SCREENSHOT=….png keeps a picture of the first page and of its dark
// and narrow forms beside it. Node 20; no package.

import assert from "node:assert/strict";
import { Chromium, until } from "./chromium.mjs";
import { Server } from "./server.mjs";

const ROOM = "browser-test#1";
const MESSAGES_MAX = 500; // as in page.js
const hash = encodeURIComponent(ROOM);
const roomPath = `rooms/${hash}`;
const IS_OPEN = `document.querySelector("#state")?.dataset.state === "open"`;
/** Texts of the list, without the time. */
const LINES = `[...document.querySelectorAll("#messages li")].map((line) => {
  const copy = line.cloneNode(true);
  copy.querySelector("time").remove();
  return copy.textContent;
})`;
const shows = (text) => `${LINES}.includes(${JSON.stringify(text)})`;

async function post(base, body, contentType) {
  const response = await fetch(new URL(roomPath, base), { method: "POST", headers: { "content-type": contentType }, body });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

async function say(page, text) {
  await page.type("#text", text);
  await page.press("Enter");
}

async function bothShow(pages, text) {
  await Promise.all(pages.map((page, index) => page.until(`page ${index} shows ${text}`, shows(text))));
}

async function join(pages) {
  for (const [page, name] of [[pages[0], "ann"], [pages[1], "bob"]]) {
    await page.until("the room is joined", IS_OPEN);
    await page.type("#name", name);
    assert.equal(await page.value(`document.querySelector("#room-title").textContent`), ROOM);
    await page.value("window.notReloaded = true");
  }
}

async function chat(pages) {
  await say(pages[0], "hello");
  await bothShow(pages, "annhello");
  await say(pages[1], `<img src=x onerror="window.injected = true"> & "quotes"`);
  await bothShow(pages, `bob<img src=x onerror="window.injected = true"> & "quotes"`);
  for (const page of pages) {
    assert.equal(await page.value(`document.querySelectorAll("#messages img").length`), 0, "markup is text");
    assert.equal(await page.value("window.injected"), undefined);
    assert.equal(await page.value(`document.querySelectorAll("#messages .mine").length`), 1, "one's own line is marked");
  }
}

async function push(pages, base) {
  await pages[1].type("#push-text", "pushed by the form");
  await pages[1].value(`document.querySelector("#push-form").requestSubmit()`);
  await bothShow(pages, "pushed by the form");
  await pages[1].until(
    "the answer is shown",
    `/^Published: offset [0-9]+, 2 members$/.test(document.querySelector("#push-answer").textContent)`,
  );
  const before = await post(base, "pushed from outside", "text/plain");
  assert.equal(before.members, 2);
  const after = await post(base, `{"name":"cron","text":"in the chat's format"}`, "application/json");
  assert.equal(after.offset, before.offset + 1, "offsets are dense");
  await post(base, new Uint8Array([0, 255, 254]), "application/octet-stream");
  await bothShow(pages, "pushed from outside");
  await bothShow(pages, "cronin the chat's format");
  await bothShow(pages, "binary, 3 bytes");
}

/** What a journal would write, line by line, reaches both pages and a console client at once, in order. */
async function journal(pages, server) {
  const lines = Array.from({ length: 20 }, (_, number) => `Nov 20 12:00:${String(number).padStart(2, "0")} host unit: event ${number}`);
  const subscriber = server.client("subscribe", ROOM, "--count", String(lines.length));
  let printed = "";
  subscriber.stdout.on("data", (data) => (printed += data));
  const subscribed = new Promise((resolve) => subscriber.once("close", resolve));
  const members = async () => (await post(server.url, "is the console there?", "text/plain")).members;
  // Its own question is among what the console client gets: it is in the room from the answer that counts three on.
  await until("the console client is in the room", async () => (await members()) === 3);
  const publisher = server.client("publish", ROOM);
  const published = new Promise((resolve) => publisher.once("close", resolve));
  for (const line of lines) {
    publisher.stdin.write(`${line}\n`);
    // The next is written when this one has arrived: no line waits for a buffer to fill.
    await bothShow(pages, line);
  }
  publisher.stdin.end();
  assert.equal(await published, 0);
  assert.equal(await subscribed, 0);
  const journalled = printed.split("\n").filter((line) => line.includes("host unit"));
  assert.deepEqual(journalled, lines.slice(0, journalled.length));
  assert.ok(journalled.length >= lines.length - 1, printed);
}

async function restart(pages, server) {
  await server.kill();
  for (const page of pages) await page.until("the loss is shown", `document.querySelector("#state").dataset.state === "waiting"`);
  await say(pages[0], "typed while the server was away");
  await server.startAgain();
  for (const page of pages) await page.until("reconnected by itself", IS_OPEN, 40_000);
  // The first page may have been back before the second was: only the first has to see its own line.
  await pages[0].until("the waiting line was sent", shows("anntyped while the server was away"));
  await say(pages[1], "welcome back");
  await bothShow(pages, "bobwelcome back");
  for (const page of pages) assert.equal(await page.value("window.notReloaded"), true, "the page was not loaded again");
}

async function bounded(pages, base) {
  for (let number = 0; number < MESSAGES_MAX + 20; number += 1) await post(base, `filler ${number}`, "text/plain");
  await bothShow(pages, `filler ${MESSAGES_MAX + 19}`);
  for (const page of pages) {
    assert.equal(await page.value(`document.querySelectorAll("#messages li").length`), MESSAGES_MAX);
    assert.equal(await page.value(`(${LINES})[0]`), "filler 20", "the oldest went, the order stayed");
  }
}

async function pictures(page, path) {
  if (!path) return;
  await page.screenshot(path);
  await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] });
  await page.value(`document.querySelector("#tab-code").click()`);
  await page.screenshot(path.replace(/\.png$/, "-dark.png"));
  await page.send("Emulation.setDeviceMetricsOverride", { width: 390, height: 844, deviceScaleFactor: 2, mobile: true });
  await page.screenshot(path.replace(/\.png$/, "-narrow.png"));
}

async function main() {
  const program = process.env.SHARDCAST_BIN;
  assert.ok(program || process.argv[2], "SHARDCAST_BIN or the URL of a server is needed");
  const server = program ? await Server.start(program) : undefined;
  const base = server?.url ?? process.argv[2];
  const browser = await Chromium.start();
  try {
    const address = new URL(`#${hash}`, base).href;
    const pages = [await browser.open(address), await browser.open(address)];
    const step = async (name, work) => {
      await work;
      console.log(`ok: ${name}`);
    };
    await step("two pages join a room", join(pages));
    await step("each sees what the other says, as text", chat(pages));
    await step("a push reaches both", push(pages, base));
    await pictures(pages[0], process.env.SCREENSHOT);
    for (const page of pages) assert.deepEqual(page.complaints, [], "the browser has nothing to complain about");
    if (server) await step("a journal streams into both and a console client", journal(pages, server));
    if (server) await step("both come back after the server was killed", restart(pages, server));
    else console.log("skipped: the restart (it needs SHARDCAST_BIN)");
    await step("the list is bounded", bounded(pages, base));
  } finally {
    await browser.stop();
    await server?.kill();
  }
}

await main();
