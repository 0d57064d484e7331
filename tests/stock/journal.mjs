// What happened, in order, and waiting for it: tests wait for events, each with a deadline, and never for a time.

/** How long any one event may take: long enough for a busy machine; a test that passes never waits for so long. */
export const DEADLINE_MS = 20_000;

/** A list of events that tests append to, look back into, and wait for. */
export class Journal {
  entries = [];
  #counts = {};
  #waiting = new Set();

  /** Notes an event; `nth` counts those of its kind. */
  add(kind, fields = {}) {
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
    const entry = { kind, nth: this.#counts[kind], ...fields };
    this.entries.push(entry);
    for (const look of [...this.#waiting]) look();
    return entry;
  }

  /** A place in the journal: what is added later comes after it. */
  mark() {
    return this.entries.length;
  }

  /** Entries of a kind, from a place on. */
  of(kind, from = 0) {
    return this.entries.slice(from).filter((entry) => entry.kind === kind);
  }

  /** The first entry from `from` on that `matches`, which is a kind or a function; waits until it is there. */
  wait(what, matches, { from = 0, deadlineMs = DEADLINE_MS } = {}) {
    const fits = typeof matches === "string" ? (entry) => entry.kind === matches : matches;
    return this.#until(what, () => this.entries.slice(from).find(fits), deadlineMs);
  }

  /** Waits until there are `count` entries of a kind from `from` on, and gives them. */
  count(what, kind, count, { from = 0, deadlineMs = DEADLINE_MS } = {}) {
    const enough = () => {
      const found = this.of(kind, from);
      return found.length >= count ? found : undefined;
    };
    return this.#until(what, enough, deadlineMs);
  }

  #until(what, find, deadlineMs) {
    const found = find();
    if (found) return Promise.resolve(found);
    const asked = new Error(`not in ${deadlineMs} ms: ${what}`); // made here: its stack names the test's line
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        const last = this.entries.slice(-12).map((entry) => JSON.stringify(entry).slice(0, 300));
        asked.message += `; the last of ${this.entries.length} events:\n  ${last.join("\n  ")}`;
        reject(asked);
      }, deadlineMs);
      const look = () => {
        const found = find();
        if (!found) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
    });
  }
}
