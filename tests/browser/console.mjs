// The console at `/`: cut off and back in each way, what was missed comes back or is told to be lost; the same for
// several channels over the centrifuge protocol; nothing stands out of the page, wide or narrow.
//
//   SHARDCAST_BIN=target/debug/shardcast node tests/browser/console.mjs
//
// CHROMIUM=… names the browser (default: chromium), SCREENSHOT=….png keeps pictures of both views. Node 20; no package.

import assert from "node:assert/strict";
import { Chromium } from "./chromium.mjs";
import { Server } from "./server.mjs";

const HISTORY = 50;
const IS_OPEN = `document.querySelector("#state")?.dataset.state === "open"`;
const element = (selector) => `document.querySelector(${JSON.stringify(selector)})`;
const says = (selector, text) => `${element(selector)}.textContent.includes(${JSON.stringify(text)})`;
const counted = (text) => `[...document.querySelectorAll("#messages li")].filter((line) => line.textContent.includes(${JSON.stringify(text)})).length`;
const click = (page, selector) => page.value(`${element(selector)}.click()`);

async function post(server, room, body, contentType = "text/plain") {
  const response = await fetch(`${server.url}rooms/${room}`, { method: "POST", headers: { "content-type": contentType }, body });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

async function choose(page, way) {
  await page.value(`(() => { const way = ${element("#way")}; way.value = "${way}"; way.dispatchEvent(new Event("change")); })()`);
  await page.until(`joined as ${way}`, `${IS_OPEN} && localStorage.getItem("shardcast.way") === "${way}"`);
}

/** In a way with positions: cut off, missed, back; each message stands in the list once. */
async function resumes(server, page, way) {
  await choose(page, way);
  await post(server, "lobby", `${way}: before`);
  await page.until("the page is live", says("#messages", `${way}: before`));
  await page.type("#text", `${way}: said`);
  await page.press("Enter");
  await page.until("what is said comes back", says("#messages", `${way}: said`));
  await click(page, "#cut");
  assert.equal(await page.value(`${element("#state")}.dataset.state`), "cut");
  for (let number = 0; number < 3; number += 1) await post(server, "lobby", `${way}: missed ${number}`);
  await post(server, "lobby", new Uint8Array([0, 255, 10]), "application/octet-stream");
  await click(page, "#cut");
  await page.until("all come back", says("#resumed", "4 of 4 missed came back"));
  const { offset, epoch } = await post(server, "lobby", `${way}: after`);
  await page.until("and it is live", says("#messages", `${way}: after`));
  assert.equal(await page.value(`${element("#position")}.textContent`), `at ${epoch}:${offset}`);
  for (const text of ["before", "missed 0", "missed 1", "missed 2", "after"]) {
    assert.equal(await page.value(counted(`${way}: ${text}`)), 1, `${way}: ${text}`);
  }
}

async function loses(server, page, way) {
  await choose(page, way);
  await click(page, "#cut");
  for (let number = 0; number <= HISTORY; number += 1) await post(server, "lobby", `${way}: too many ${number}`);
  await click(page, "#cut");
  await page.until("the loss is told", says("#resumed", "lost: what came behind"));
  await post(server, "lobby", `${way}: after the loss`);
  await page.until("and it goes on", says("#messages", `${way}: after the loss`));
  assert.equal(await page.value(counted(`${way}: too many`)), 0);
}

async function plain(server, page) {
  await choose(page, "raw");
  await click(page, "#cut");
  await post(server, "lobby", "raw: missed");
  await click(page, "#cut");
  await page.until("it is told", says("#resumed", "not shown"));
  await post(server, "lobby", "raw: after");
  await page.until("and it goes on", says("#messages", "raw: after"));
  assert.equal(await page.value(counted("raw: missed")), 0);
}

async function centrifuge(server, page) {
  await click(page, "#tab-centrifuge");
  await page.until("connected", `${element("#c-state")}.dataset.state === "open"`);
  await click(page, "#c-subscribe button");
  const [one, two] = ["#c-channels li:nth-child(1)", "#c-channels li:nth-child(2)"];
  for (const channel of [one, two]) await page.until("subscribed", says(channel, "live, recoverable"));
  await page.type("#c-data", `{"number": 1}`);
  await click(page, "#c-publish button");
  await page.until("published", says("#c-answer", "Published"));
  await page.until("and received", says(one, "1 received"));
  await post(server, "lobby-2", "in the other");
  await page.until("in the other as well", says(two, "1 received"));
  await click(page, "#c-cut");
  await post(server, "lobby", "plain text");
  await post(server, "lobby", `{"a":\n1}`, "application/json");
  await post(server, "lobby-2", "missed in the other");
  await click(page, "#c-cut");
  await page.until("one resumed", says(one, "resumed: 2 missed came back"));
  await page.until("the other, too", says(two, "resumed: 1 missed came back"));
  await post(server, "lobby", `"live"`);
  await page.until("and it is live", says(one, "4 received"));
  await click(page, `${one} button`);
  await page.until("presence is answered", `/ here: |presence: 108/.test(${element("#c-answer")}.textContent)`);
  await click(page, `${two} button:nth-child(2)`);
  await page.until("left", says("#c-wire", `"unsubscribe":{}`));
}

/** Nothing stands out at either side. */
async function fits(page, picture) {
  for (const [width, height] of [[1200, 800], [400, 860]]) {
    await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    for (const view of ["room", "centrifuge"]) {
      await click(page, `#tab-${view}`);
      const beyond = await page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
      assert.equal(beyond, 0, `${view} at ${width}`);
      for (const scheme of picture ? ["light", "dark"] : []) {
        await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
        await page.screenshot(picture.replace(/\.png$/, `-${view}-${width}-${scheme}.png`));
      }
    }
  }
}

async function main() {
  const program = process.env.SHARDCAST_BIN;
  assert.ok(program, "SHARDCAST_BIN is needed");
  const server = await Server.start(program, ["--set", `room.history_count_max=${HISTORY}`]);
  const browser = await Chromium.start();
  const step = async (name, work) => {
    await work();
    console.log(`ok: ${name}`);
  };
  try {
    const page = await browser.open(`${server.url}#lobby`);
    await page.until("the room is joined", IS_OPEN);
    for (const way of ["v1", "sse"]) {
      await step(`${way}: cut off and back, nothing is missed`, () => resumes(server, page, way));
      await step(`${way}: cut off for too long, which is told`, () => loses(server, page, way));
    }
    await step("raw: what is missed is told", () => plain(server, page));
    await step("centrifuge: two channels resume on one connection", () => centrifuge(server, page));
    await step("it fits a wide and a narrow window", () => fits(page, process.env.SCREENSHOT));
    assert.deepEqual(page.complaints, [], "the browser has nothing to complain about");
  } finally {
    await browser.stop();
    await server.kill();
  }
}

await main();
