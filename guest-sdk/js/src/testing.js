/**
 * A host in memory, to test operators natively: records in, time moved by hand, and outputs, state, failures, logs and metrics
 * to look at.
 *
 *     import { Message } from "wasmill-sdk";
 *     import * as testing from "wasmill-sdk/testing";
 *
 *     const count = testing.process(Count);
 *     count.send([new Message("", 7, "a")]);
 *     assert.deepEqual(count.take("main"), [{ key: "a", value: "1", timestamp: 7, headers: [] }]);
 */
import { Failure, Permanent } from "./errors.js";
import { Guest } from "./guest.js";
import { host } from "./host.js";
import { Message } from "./message.js";
import { Bytes } from "./output.js";
import { decode, encode, same } from "./text.js";
import { Domain } from "./timer.js";
import { NO_TIME } from "./timestamp.js";

/** Opens a stateless operator with its settings, an object. */
export const transform = (Operator, settings = {}) => new Harness(Operator, settings, false);

/** Opens a keyed operator with its settings, an object. */
export const process = (Operator, settings = {}) => new Harness(Operator, settings, true);

/** Names what is stored: bytes as hexadecimal digits sort as the bytes do. */
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const toBytes = (part) => (typeof part === "string" ? encode(part) : part);

/** Bytes as text if they are text, so that a test can compare with text. */
export function plain(bytes) {
  if (bytes === undefined) return undefined;
  try {
    return decode(bytes);
  } catch {
    return bytes.slice();
  }
}

function assert(holds, what) {
  if (!holds) throw new Error(`the contract with the host is broken: ${what}`);
}

/**
 * An operator, and the host around it. Made by `transform` or `process`.
 *
 * Asking for an output, a state or a metric that the operator did not declare throws, as does an operator that breaks the
 * contract with the host.
 */
export class Harness {
  /** The records that the operator could not handle, each with its reason. */
  failures = [];
  /** The lines of the log, those of calls without effects too. */
  lines = [];
  #operator;
  #settings;
  #keyed;
  #guest;
  #effects = { outputs: new Map(), rows: new Map(), timers: new Map(), counters: new Map(), gauges: new Map(), observations: new Map() };
  #call;
  #input = 0;
  #sequence = 0;
  #offset = 0;
  #watermark = NO_TIME;
  #processingTime = 0;

  constructor(Operator, settings, keyed) {
    this.#operator = Operator;
    this.#settings = JSON.stringify(settings);
    this.#keyed = keyed;
    this.reopen();
  }

  /** Replaces the instance by a new one, as the host may between any two calls: what lasts is what is in state. */
  reopen() {
    host.imports = this.#imports;
    try {
      this.#guest = new Guest(this.#operator, this.#settings);
    } catch (error) {
      throw error instanceof Failure ? new Permanent(error.message) : error;
    }
  }

  /**
   * Gives records to the operator by its first input or by a named one, in one call; then fires the timers that are due. In a
   * keyed operator a record without a key fails.
   *
   * A `Transient` or `Permanent` error is thrown, and the call has no effects.
   */
  send(records, input = this.#guest.setup.inputs[0]) {
    this.#input = index(input, this.#guest.setup.inputs);
    const isKeyless = ({ key }) => this.#keyed && key === undefined;
    this.#run(undefined, records.filter((record) => !isKeyless(record)));
    for (const record of records.filter(isKeyless)) this.failures.push({ record, reason: "the record has no key" });
    this.#fire(Domain.EVENT_TIME, this.#watermark);
    this.#fire(Domain.PROCESSING_TIME, this.#processingTime);
  }

  /** Moves the watermark on and fires the event-time timers that are due, in order of time, key and name. */
  advanceWatermark(to) {
    this.#watermark = Math.max(this.#watermark, to);
    this.#fire(Domain.EVENT_TIME, this.#watermark);
  }

  /** Moves the host's clock on, which begins at 0, and fires the processing-time timers that are due. */
  advanceProcessingTime(to) {
    this.#processingTime = Math.max(this.#processingTime, to);
    this.#fire(Domain.PROCESSING_TIME, this.#processingTime);
  }

  /**
   * Takes what was emitted to an output since it was last taken, as objects with `key`, `value`, `timestamp` and `headers`; bytes
   * that are text are text. The main output is `main`.
   */
  take(output) {
    const port = index(output, this.#guest.setup.outputs.map(({ name }) => name));
    const taken = this.#effects.outputs.get(port) ?? [];
    this.#effects.outputs.delete(port);
    return taken.map(({ key, value, timestamp, headers }) => ({
      key: plain(key), value: plain(value), timestamp, headers: headers.map(([name, bytes]) => [name, plain(bytes)]),
    }));
  }

  /** The value of a key in a state with one value for each key; `undefined` where nothing is stored. */
  state(name, key) {
    const at = this.#state(name);
    return this.#decode(at, this.#effects.rows.get(row(at, toBytes(key), "")));
  }

  /** The fields and values of a key in an ordered map, in order. */
  map(name, key) {
    const at = this.#state(name);
    return fields(this.#effects.rows, at, toBytes(key)).map(([field, stored]) => [plain(field), this.#decode(at, stored)]);
  }

  /** Stores bytes as an operator with another encoding did, to test how they are read. */
  store(name, key, encoding, stored) {
    this.#effects.rows.set(row(this.#state(name), toBytes(key), ""), Uint8Array.of(encoding, ...stored));
  }

  /** The timers that are set, in the order in which they fire. */
  timers() {
    const timers = [...this.#effects.timers].map(([id, at]) => {
      const [domain, key, name] = id.split("/");
      return { domain, at, key: plain(unhex(key)), name: plain(unhex(name)), id };
    });
    return timers.sort((left, right) => left.at - right.at || (left.id < right.id ? -1 : 1));
  }

  /** The sum of a counter. */
  counter(name) {
    return this.#effects.counters.get(this.#metric(name)) ?? 0;
  }

  /** The number that a gauge was last set to, if it was. */
  gauge(name) {
    return this.#effects.gauges.get(this.#metric(name));
  }

  /** The observations of a histogram, in order. */
  observations(name) {
    return this.#effects.observations.get(this.#metric(name)) ?? [];
  }

  #state(name) {
    return index(name, this.#guest.setup.states.map((state) => state.name));
  }

  #metric(name) {
    return index(name, this.#guest.setup.metrics.map((metric) => metric.name));
  }

  #decode(at, stored) {
    if (stored === undefined) return undefined;
    const state = this.#guest.setup.states[at];
    assert(stored[0] === state.encoding, `state ${state.name} is in encoding ${stored[0]}`);
    return state.value.decode(stored.subarray(1));
  }

  #fire(domain, now) {
    // One at a time: a timer may cancel or move a later one.
    for (const { id, at } of this.timers().filter((timer) => timer.domain === domain && timer.at <= now)) {
      if (this.#effects.timers.get(id) !== at) continue;
      this.#effects.timers.delete(id);
      const [, key, name] = id.split("/");
      try {
        this.#run(domain, [new Message(unhex(name), at, unhex(key))]);
      } catch (error) {
        this.#effects.timers.set(id, at);
        throw error;
      }
    }
  }

  /** Makes one call, again without the records that failed if it is keyed, until its effects can stay. */
  #run(domain, records) {
    let left = records.map((record, at) => ({ record, offset: this.#offset + at }));
    this.#offset += records.length;
    while (left.length) {
      const effects = Object.fromEntries(Object.entries(this.#effects).map(([name, map]) => [name, copied(map)]));
      const given = left.map(({ record }) => record);
      const parts = given.flatMap(({ key, value, encodedHeaders }) => [key, value, encodedHeaders]);
      const batch = { timestamps: given.map(({ timestamp }) => timestamp), ...columns(parts) };
      this.#call = { records: given, offsets: left.map(({ offset }) => offset), effects, batch, origins: [] };
      let failures;
      try {
        failures = this.#attempt(domain);
      } finally {
        this.#call = undefined;
      }
      const failed = new Set(failures.map((failure) => failure.index));
      for (const failure of failures) this.failures.push({ record: given[failure.index], reason: failure.reason });
      if (!this.#keyed || !failed.size) {
        this.#effects = effects;
        break;
      }
      left = left.filter((_, at) => !failed.has(at));
    }
    this.#sequence++;
  }

  #attempt(domain) {
    host.imports = this.#imports;
    const { records, effects, batch, origins } = this.#call;
    const info = {
      input: this.#input, partition: 0, sequence: this.#sequence, watermark: this.#watermark, processingTime: this.#processingTime,
    };
    if (!this.#keyed) {
      const { failures } = this.#guest.transform(info, batch);
      assert(!failures.some((failure) => origins.includes(failure.index)), "a record that fails emits nothing");
      return failures;
    }
    const { states } = this.#guest.setup;
    const prefetched = states.map((_, at) => at).filter((at) => states[at].prefetch);
    const keys = [];
    const slotOf = records.map(({ key }) => {
      const slot = keys.findIndex((other) => same(other, key));
      return slot < 0 ? keys.push(key) - 1 : slot;
    });
    const values = columns(keys.flatMap((key) => prefetched.map((at) => effects.rows.get(row(at, key, "")))));
    const slots = { slotOf, values };
    const outcome = domain === undefined
      ? this.#guest.process(info, batch, slots)
      : this.#guest.onTimers(info, domain, batch, slots);
    const stored = partsOf(outcome.values);
    outcome.cells.forEach((cell, at) => {
      const place = row(prefetched[cell % prefetched.length], keys[Math.floor(cell / prefetched.length)], "");
      write(effects.rows, place, stored[at]);
    });
    return outcome.failures;
  }

  #rows(state, key) {
    assert(this.#call, "the host is asked in a call only");
    assert(this.#call.records.some((record) => same(record.key, key)), "the key is one of the call's records");
    assert(!this.#guest.setup.states[state].prefetch, "a prefetched state is not asked for");
    return this.#call.effects.rows;
  }

  #imports = {
    emit: (port, timestamps, spans, data, origins) => {
      assert(spans.length === 6 * timestamps.length && origins.length === timestamps.length, "columns are of one length");
      assert(origins.every((origin, at) => at === 0 || origins[at - 1] <= origin), "origins never fall");
      const { batch, effects } = this.#call;
      this.#call.origins.push(...origins);
      const part = (at) => {
        const [offset, length] = [spans[at], spans[at + 1]];
        if (length < 0) return undefined;
        return offset < 0 ? batch.data.slice(offset + 2 ** 31, offset + 2 ** 31 + length) : data.slice(offset, offset + length);
      };
      const messages = effects.outputs.get(port) ?? [];
      timestamps.forEach((timestamp, at) => {
        const message = new Message(part(6 * at + 2), timestamp, part(6 * at));
        message.ownHeaders = part(6 * at + 4);
        messages.push(message);
      });
      effects.outputs.set(port, messages);
    },
    get: (state, key, field) => this.#rows(state, key).get(row(state, key, hex(field))),
    put: (state, key, field, stored) => write(this.#rows(state, key), row(state, key, hex(field)), stored.slice()),
    delete: (state, key, field) => write(this.#rows(state, key), row(state, key, hex(field)), undefined),
    scan: (state, key, start, end, limit, reverse) => {
      const found = fields(this.#rows(state, key), state, key, start, end);
      return columns((reverse ? found.reverse() : found).slice(0, limit).flat());
    },
    deleteRange: (state, key, start, end) => {
      const rows = this.#rows(state, key);
      for (const [field] of fields(rows, state, key, start, end)) rows.delete(row(state, key, hex(field)));
    },
    setTimers: (domain, spans, data, at) => {
      const parts = partsOf({ spans, data });
      at.forEach((time, place) => {
        const id = [domain, hex(parts[2 * place]), hex(parts[2 * place + 1])].join("/");
        write(this.#call.effects.timers, id, time === NO_TIME ? undefined : time);
      });
    },
    topic: () => "test",
    offsets: () => this.#call.offsets,
    watermarks: () => this.#call.records.map(() => this.#watermark),
    add: (metric, delta) => {
      const { counters } = this.#call.effects;
      counters.set(metric, (counters.get(metric) ?? 0) + delta);
    },
    set: (metric, value) => this.#call.effects.gauges.set(metric, value),
    observe: (metric, value) => {
      const { observations } = this.#call.effects;
      observations.set(metric, [...(observations.get(metric) ?? []), value]);
    },
    enabled: () => true,
    log: (level, message) => this.lines.push({ level, message }),
  };
}

const row = (state, key, field) => `${state}/${hex(key)}/${field}`;

function write(map, at, value) {
  if (value === undefined) map.delete(at);
  else map.set(at, value);
}

function copied(map) {
  return new Map([...map].map(([at, value]) => [at, Array.isArray(value) ? [...value] : value]));
}

function fields(rows, state, key, start = new Uint8Array(0), end = undefined) {
  const prefix = row(state, key, "");
  const [first, last] = [hex(start), end === undefined ? undefined : hex(end)];
  const found = [...rows].filter(([at]) => at.startsWith(prefix)).map(([at, stored]) => [at.slice(prefix.length), stored]);
  const inside = found.filter(([field]) => field >= first && (last === undefined || field < last));
  return inside.sort(([left], [right]) => (left < right ? -1 : 1)).map(([field, stored]) => [unhex(field), stored]);
}

function columns(parts) {
  const spans = [];
  const data = new Bytes();
  for (const part of parts) {
    if (part === undefined) spans.push(0, -1);
    else spans.push(data.push(part), part.length);
  }
  return { spans, data: data.take() };
}

function partsOf({ spans, data }) {
  const parts = [];
  for (let at = 0; at < spans.length; at += 2) {
    parts.push(spans[at + 1] < 0 ? undefined : data.slice(spans[at], spans[at] + spans[at + 1]));
  }
  return parts;
}

function index(name, names) {
  const found = names.indexOf(name);
  if (found < 0) throw new Error(`the operator declares no ${name}, only ${names.join(", ")}`);
  return found;
}
