/** Timers: they belong to a key, have a name, survive crashes and fire once. */
import { host } from "./host.js";
import { Bytes } from "./output.js";
import { Record } from "./record.js";

/** The clock that a timer goes by: when the watermark, or the host's clock, reaches its time. */
export const Domain = Object.freeze({ EVENT_TIME: "event-time", PROCESSING_TIME: "processing-time" });

const NOTHING = new Uint8Array(0);

/** A timer that came due. */
export class Timer {
  #record;

  constructor(domain, record) {
    /** The clock that it went by. */
    this.domain = domain;
    this.#record = record;
  }

  /** The key that it belongs to. */
  get key() {
    return this.#record.key ?? NOTHING;
  }

  /** Its name. */
  get name() {
    return this.#record.value ?? NOTHING;
  }

  /** The time that it was set for. */
  get at() {
    return this.#record.timestamp;
  }

  /** A record to emit from: the timer's key and time, no value and no headers. */
  get record() {
    const { data, spans, at, index, timestamp } = this.#record;
    const record = new Record(data, [spans[at], spans[at + 1], 0, -1, 0, -1], 0, timestamp);
    record.index = index;
    return record;
  }
}

/** The timers set and cancelled in a call, in order; they reach the host together. */
export class Alarms {
  #changes = new Map();

  /** Sets a timer, or cancels it where `at` is `NO_TIME`. */
  set(domain, key, name, at) {
    if (!this.#changes.has(domain)) this.#changes.set(domain, { spans: [], data: new Bytes(), times: [] });
    const { spans, data, times } = this.#changes.get(domain);
    for (const part of [key, name]) spans.push(data.push(part), part.length);
    times.push(at);
  }

  finish() {
    for (const domain of Object.values(Domain)) {
      const changes = this.#changes.get(domain);
      if (changes) host.imports.setTimers(domain, changes.spans, changes.data.take(), changes.times);
    }
  }
}
