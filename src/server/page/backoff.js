// When to connect again, and what a close code means.

const DELAY_FIRST_MS = 500;
const DELAY_MAX_MS = 15000;
const DRAIN_SPREAD_MS = 3000;
const GOOD_AFTER_MS = 5000; // a connection that lasted so long starts the delays anew

// Codes after which the same again would end the same way.
const isFinal = (code) =>
  [1000, 1002, 1003, 1007, 1008, 1010, 4410].includes(code) || (code >= 3500 && code < 4000) || code >= 4500;

const inWords = ({ code, reason }) =>
  [code === 1006 ? "connection lost" : `closed by the server (${code})`, reason].filter(Boolean).join(" ");

/** Calls `connect` again after each end, later and later, and tells `show` what it waits for. */
export class Backoff {
  #failures = 0;
  #openedAt;
  #timer;
  #ticks;
  #why;

  constructor(connect, show) {
    this.connect = connect;
    this.show = show;
  }

  opened() {
    this.#openedAt = Date.now();
  }

  /** A connection ended, as a CloseEvent says it. */
  closed(event) {
    if (this.#openedAt !== undefined && Date.now() - this.#openedAt >= GOOD_AFTER_MS) this.#failures = 0;
    this.#openedAt = undefined;
    this.#why = inWords(event);
    if (isFinal(event.code)) return this.show("refused", this.#why);
    const span = Math.min(DELAY_FIRST_MS * 2 ** this.#failures, DELAY_MAX_MS);
    const drain = event.code === 1001 || event.code === 1012 ? Math.random() * DRAIN_SPREAD_MS : 0;
    this.#failures += 1;
    const delay = span / 2 + (Math.random() * span) / 2 + drain;
    const at = Date.now() + delay;
    const tell = () => this.show("waiting", `${this.#why}: again in ${Math.max(0, Math.ceil((at - Date.now()) / 1000))} s`);
    this.#timer = setTimeout(() => this.now(), delay);
    this.#ticks = setInterval(tell, 500);
    tell();
  }

  /** Waits no longer, if it waits. */
  now() {
    if (this.stop()) this.connect();
  }

  /** No further try; says whether one was to come. */
  stop() {
    const waiting = this.#timer !== undefined;
    clearTimeout(this.#timer);
    clearInterval(this.#ticks);
    this.#timer = undefined;
    return waiting;
  }

  reset() {
    this.stop();
    this.#failures = 0;
    this.#openedAt = undefined;
  }
}
