// The server under test: its settings, what its API is asked, and what is done to its process.
//
//   node tests/stock/server.mjs PROGRAM [ARGUMENTS...]
//
// starts one (SHARDCAST_BIN names the binary), runs PROGRAM with STOCK_URL in its environment, and ends with its exit code.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server } from "../browser/server.mjs";

export const API_KEY = "key-of-the-stock-client-tests";

/** The settings: a room's name tells by its first letters how it behaves. */
function settings({ pageOrigins = [], pingInterval = "1s", silenceMax = "6s", sessions = "", deflate = "" } = {}) {
  return `
api_key = "${API_KEY}"
drain = "2s"
allowed_origins = ${JSON.stringify(pageOrigins)}

# The shortest that the protocol can announce, in whole seconds: nothing here waits long for a ping.
[heartbeat]
ping_interval = "${pingInterval}"
silence_max = "${silenceMax}"

[deflate]
${deflate}

[sessions]
${sessions}

[[rooms]]
pattern = "h-*"
history_count_max = 1000
history_bytes_max = "64MiB"
history_age_max = "5m"

[[rooms]]
pattern = "deep-*"
history_count_max = 20000
history_bytes_max = "64MiB"
history_age_max = "5m"

[[rooms]]
pattern = "short-*"
history_count_max = 5
history_age_max = "5m"

[[rooms]]
pattern = "cache-*"
history_count_max = 100
recovery = "cache"

[[rooms]]
pattern = "delta-*"
history_count_max = 1000
history_bytes_max = "64MiB"
history_age_max = "5m"
delta = "fossil"

[[rooms]]
pattern = "delta_plain-*"
delta = "fossil"

[[rooms]]
pattern = "delta_cache-*"
history_count_max = 100
recovery = "cache"
delta = "fossil"

[[rooms]]
pattern = "skip-*"
history_count_max = 16
history_age_max = "5m"
window_count_max = 16
lag = "skip"

[[rooms]]
pattern = "slow-*"
history_count_max = 16
history_age_max = "5m"
window_count_max = 16
lag = "disconnect"

[[rooms]]
pattern = "who-*"
history_count_max = 100
history_age_max = "5m"
presence = "members"
presence_events = "on"
presence_leave_grace = "4s"

[[rooms]]
pattern = "listen-*"
publish = "refused"
`;
}

/** The outcome of a publication over HTTP. */
async function answered(response) {
  const text = await response.text();
  assert.equal(response.status, 200, `${response.url}: ${text}`);
  return JSON.parse(text);
}

/** No server outlives its test, however that one ends; SIGKILL alone leaves it. */
const running = new Set();
process.on("exit", () => running.forEach((server) => server.child.kill("SIGKILL")));
for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]]) process.on(signal, () => process.exit(code));

export class StockServer extends Server {
  /** Starts one with settings of its own; `overrides` are those of `settings` above. */
  static async start(overrides) {
    assert.ok(process.env.SHARDCAST_BIN, "SHARDCAST_BIN names the server's binary");
    const folder = await mkdtemp(join(tmpdir(), "shardcast-stock-"));
    await writeFile(join(folder, "settings.toml"), settings(overrides));
    const server = await super.start(process.env.SHARDCAST_BIN, ["--config", join(folder, "settings.toml")]);
    server.folder = folder;
    running.add(server);
    return server;
  }

  async stop() {
    await this.kill();
    running.delete(this);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Stops the process where it is, as a debugger or a full host does; `awake` lets it go on. */
  freeze() {
    this.child.kill("SIGSTOP");
  }

  awake() {
    this.child.kill("SIGCONT");
  }

  /** Ends it as an operator does: it drains. */
  async drain() {
    this.child.kill("SIGTERM");
    await this.ended;
  }

  /** Publishes into a room as any program does: text as it is, anything else as JSON, bytes as binary. */
  async publish(room, message, headers = {}) {
    const binary = message instanceof Uint8Array;
    const type = binary ? "application/octet-stream" : typeof message === "string" ? "text/plain" : "application/json";
    const body = binary || typeof message === "string" ? message : JSON.stringify(message);
    const address = `${this.url}rooms/${encodeURIComponent(room)}`;
    return answered(await fetch(address, { method: "POST", headers: { "content-type": type, ...headers }, body }));
  }

  /** One method of the server API; the result, or an error with the answer's code. */
  async api(method, body = {}) {
    const headers = { "content-type": "application/json", "x-api-key": API_KEY };
    const response = await fetch(`${this.url}api/${method}`, { method: "POST", headers, body: JSON.stringify(body) });
    const { result, error } = await answered(response);
    if (error) throw Object.assign(new Error(`${method}: ${error.code} ${error.message}`), { code: error.code });
    return result;
  }
}

/** Runs a program beside a server of its own; its exit code. */
async function serveFor([program, ...args]) {
  const server = await StockServer.start();
  try {
    const environment = { ...process.env, STOCK_URL: server.url, STOCK_API_KEY: API_KEY };
    const child = spawn(program, args, { env: environment, stdio: "inherit" });
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => resolve(code ?? 1));
    });
  } finally {
    await server.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await serveFor(process.argv.slice(2));
