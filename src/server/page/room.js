// One room over time: connects in the chosen way, comes back, and goes on where it was.

import { Backoff } from "./backoff.js";
import { publishUrl, ways } from "./ways.js";

const UNSENT_MAX = 100; // typed while there is no connection
const REPLAY_GUESS_MS = 300; // if the server does not tell what is newest, what comes so soon was missed
const NEWEST_TIME_MAX_MS = 2000; // then the connection is tried without knowing

const parse = (position) => {
  const [epoch, offset] = position.split(":");
  return { epoch, offset: Number(offset) };
};

/**
 * Tells `on`: state(name, text), position(text), message(data, { offset, replayed }), note(kind, text) in the list of
 * messages, resumed(text) beside the button, refused(text) for what could not be sent.
 */
export class Room {
  name = "";
  way = "v1";
  #on;
  #connection;
  #open = false;
  #position;
  #unsent = [];
  #cutAt;
  #away = false; // connected before, and not now
  #replay; // since the last resume: { upTo, until, count, came }
  #backoff;

  constructor(on) {
    this.#on = on;
    this.#backoff = new Backoff(() => this.#connect(), (state, text) => {
      const waiting = this.#unsent.length > 0 && state === "waiting" ? `, ${this.#unsent.length} to send` : "";
      on.state(state, text + waiting);
    });
  }

  /** Joins, which leaves the room before; the same room in another way goes on where it was. */
  join(name, way) {
    if (name !== this.name) {
      [this.#unsent, this.#away] = [[], false];
      this.#place(undefined);
    }
    if (way === "raw") this.#place(undefined);
    this.#leave();
    [this.name, this.way, this.#cutAt] = [name, way, undefined];
    this.#backoff.reset();
    this.#on.resumed("");
    this.#connect();
  }

  get isCut() {
    return this.#cutAt !== undefined;
  }

  /** Drops the connection until `mend`. */
  cut() {
    this.#leave();
    this.#backoff.stop();
    this.#cutAt = Date.now();
    this.#away = true;
    this.#on.state("cut", "cut off by you");
    this.#on.resumed(
      this.way === "raw"
        ? "A plain member has no position: what is said while it is away, it never learns."
        : `Cut off behind ${this.#position ?? "nothing yet"}. Publish something, then reconnect.`,
    );
  }

  mend() {
    this.#cutAt = undefined;
    this.#connect();
  }

  /** Whoever comes back to the page or the network does not wait for the delay. */
  hurry() {
    this.#backoff.now();
  }

  /** Sends to everyone in the room, now or when there is a connection; false: too much waits already. */
  say(text) {
    if (this.#open) this.#send(text);
    else if (this.#unsent.length < UNSENT_MAX) this.#unsent.push(text);
    else return false;
    return true;
  }

  async #send(text) {
    if (this.#connection.send) return this.#connection.send(text);
    const headers = { "Content-Type": "text/plain;charset=utf-8" };
    const response = await fetch(publishUrl(this.name), { method: "POST", headers, body: text }).catch(() => undefined);
    if (!response?.ok) this.#on.refused(`not sent: ${response ? `${response.status} ${(await response.text()).trim()}` : "no answer"}`);
  }

  #leave() {
    this.#connection?.close();
    [this.#connection, this.#open] = [undefined, false];
  }

  async #connect() {
    this.#on.state("connecting", "connecting …");
    const { name, way } = this;
    const position = this.#position;
    // What is newest now tells how many have to come back.
    const upTo = position === undefined ? undefined : await newest(name, position);
    if (name !== this.name || way !== this.way || this.#connection !== undefined || this.isCut) return;
    const connection = ways[way](name, position, {
      joined: (state, at) => this.#connection === connection && this.#joined(state, at, upTo),
      message: (data, at) => this.#connection === connection && this.#message(data, at),
      closed: (event) => {
        if (this.#connection !== connection) return;
        this.#away ||= this.#open;
        this.#leave();
        this.#backoff.closed(event);
      },
    });
    this.#connection = connection;
  }

  #joined(state, at, upTo) {
    const before = this.#position;
    const again = this.#away || before !== undefined;
    [this.#open, this.#away, this.#replay] = [true, false, undefined];
    this.#backoff.opened();
    this.#place(at);
    this.#on.state("open", "connected");
    if (state === "recovered") {
      const until = Date.now() + REPLAY_GUESS_MS;
      this.#replay = { upTo: upTo?.offset, until, count: upTo && upTo.offset - parse(at).offset, came: 0 };
      this.#on.note("good", `resumed behind ${at}`);
      this.#tellReplay();
    } else if (state === "lost") {
      const words = `lost: what came behind ${before} cannot be replayed; it goes on behind ${at} ` +
        "(a room keeps as much as room.history_count_max says: nothing unless it is set)";
      this.#on.note("bad", words);
      this.#on.resumed(words);
    } else if (again) {
      this.#on.note("soft", "connected again; what was said meanwhile is not shown");
      this.#on.resumed("Connected again. What was said meanwhile is not shown: a plain member has no position.");
    }
    for (const text of this.#unsent.splice(0)) this.#send(text);
  }

  #message(data, at) {
    if (at === undefined) return this.#on.message(data, {});
    const { epoch, offset } = parse(at);
    const known = this.#position === undefined ? undefined : parse(this.#position);
    if (known?.epoch === epoch) {
      if (offset <= known.offset) return;
      const skipped = offset - known.offset - 1;
      if (skipped > 0) this.#on.note("bad", `too slow: ${skipped} left out`);
    }
    this.#place(at);
    const replayed = this.#isReplay(offset);
    this.#on.message(data, { offset, replayed });
    if (!replayed) return;
    this.#replay.came += 1;
    this.#tellReplay();
  }

  #isReplay(offset) {
    if (this.#replay === undefined) return false;
    const { upTo, until } = this.#replay;
    return upTo === undefined ? Date.now() < until : offset <= upTo;
  }

  #tellReplay() {
    const { count, came } = this.#replay;
    if (count === undefined) return this.#on.resumed(`Resumed: ${came} came back.`);
    this.#on.resumed(count === 0 ? "Resumed: nothing was missed." : `Resumed: ${came} of ${count} missed came back.`);
  }

  #place(position) {
    this.#position = position;
    this.#on.position(position);
  }
}

/** The newest position of the room, if it has the same epoch and the server tells. */
async function newest(name, position) {
  try {
    const response = await fetch(`${publishUrl(name)}/messages`, { signal: AbortSignal.timeout(NEWEST_TIME_MAX_MS) });
    const { epoch, offset } = await response.json();
    return response.ok && epoch === parse(position).epoch ? { epoch, offset } : undefined;
  } catch {
    return undefined;
  }
}
