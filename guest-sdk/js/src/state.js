/**
 * Keyed state, declared by `Setup.state`.
 *
 * Handles take the context and reach the state of its key only. What is written is stored with the output of the call, or
 * not at all. A stored value is one byte, the version of its encoding, and the bytes of the value; the handles add the byte,
 * and take it off again.
 */
import { Permanent } from "./errors.js";
import { host } from "./host.js";
import { Bytes } from "./output.js";
import { toBytes } from "./text.js";

/** The most that componentize-qjs passes on as an unsigned number. */
const ALL = 2 ** 31 - 1;
const NOTHING = new Uint8Array(0);

/** What a handle knows of its state. */
export class Declared {
  constructor(name, value, encoding, older) {
    this.name = name;
    this.value = value;
    this.encoding = encoding;
    this.older = older;
  }

  read(stored) {
    if (stored === undefined) return undefined;
    if (stored.length === 0) throw new Permanent(`read a value of state \`${this.name}\`: it has no encoding`);
    const encoding = stored[0];
    if (encoding === this.encoding) return this.value.width ? this.value.read(stored, 1) : this.value.decode(stored.subarray(1));
    if (!this.older) {
      throw new Permanent(
        `read a value of state \`${this.name}\`: it is in encoding ${encoding}, not in ${this.encoding}`,
      );
    }
    return this.older(encoding, stored.subarray(1));
  }

  write(value) {
    const { width } = this.value;
    const bytes = width ? undefined : this.value.encode(value);
    const stored = new Uint8Array(1 + (width ?? bytes.length));
    stored[0] = this.encoding;
    if (bytes) stored.set(bytes, 1);
    else this.value.write(stored, 1, value);
    return stored;
  }
}

/** One value for each key. */
export class Single {
  #declared;
  #prefetched;
  #index;

  constructor(declared, prefetched, index) {
    this.#declared = declared;
    this.#prefetched = prefetched;
    this.#index = index;
  }

  /** The value of the context's key, with what this call wrote; `undefined` where nothing is stored. */
  get(cx) {
    const stored = this.#prefetched
      ? cx.cells.get(cx.slot, this.#index)
      : host.imports.get(this.#index, cx.key, NOTHING);
    return this.#declared.read(stored);
  }

  /** Stores a value for the context's key. */
  put(cx, value) {
    cx.changed = true;
    const stored = this.#declared.write(value);
    if (this.#prefetched) cx.cells.put(cx.slot, this.#index, stored);
    else host.imports.put(this.#index, cx.key, NOTHING, stored);
  }

  /** Stores what `change` makes of the value of the context's key (`undefined` where nothing is stored), and returns it. */
  update(cx, change) {
    const value = change(this.get(cx));
    this.put(cx, value);
    return value;
  }

  /** Forgets the value of the context's key. */
  delete(cx) {
    cx.changed = true;
    if (this.#prefetched) cx.cells.put(cx.slot, this.#index, undefined);
    else host.imports.delete(this.#index, cx.key, NOTHING);
  }
}

/**
 * An ordered map from fields to values for each key. Its order is that of the fields' bytes, so numbers in fields are best
 * written big-endian.
 *
 * A range of fields is `{ start, end, limit }`, each of which may be left out: from `start`, which is in it, to `end`, which is
 * not, and at most `limit` fields.
 */
export class OrderedMap {
  #declared;
  #index;

  constructor(declared, index) {
    this.#declared = declared;
    this.#index = index;
  }

  /** The value of a field, with what this call wrote; `undefined` where nothing is stored. */
  get(cx, field) {
    return this.#declared.read(host.imports.get(this.#index, cx.key, toBytes(field)));
  }

  /** Stores a value for a field. */
  put(cx, field, value) {
    cx.changed = true;
    host.imports.put(this.#index, cx.key, toBytes(field), this.#declared.write(value));
  }

  /** Forgets the value of a field. */
  delete(cx, field) {
    cx.changed = true;
    host.imports.delete(this.#index, cx.key, toBytes(field));
  }

  /** The fields of a range with their values, in order from the first. */
  scan(cx, fields = {}) {
    return this.#entries(cx, fields, false);
  }

  /** The fields of a range with their values, in order from the last. */
  scanReverse(cx, fields = {}) {
    return this.#entries(cx, fields, true);
  }

  /** Forgets the values of all fields of a range. */
  deleteRange(cx, { start = NOTHING, end } = {}) {
    cx.changed = true;
    host.imports.deleteRange(this.#index, cx.key, toBytes(start), end === undefined ? undefined : toBytes(end));
  }

  #entries(cx, { start = NOTHING, end, limit = ALL }, reverse) {
    const last = end === undefined ? undefined : toBytes(end);
    const { spans, data } = host.imports.scan(this.#index, cx.key, toBytes(start), last, Math.min(limit, ALL), reverse);
    const found = [];
    for (let at = 0; at < spans.length; at += 4) {
      const part = (of) => data.subarray(spans[at + of], spans[at + of] + spans[at + of + 1]);
      found.push([part(0), this.#declared.read(part(2))]);
    }
    return found;
  }
}

/** The prefetched states of a call: a cell for each slot and state, and what became of them. */
export class Cells {
  #spans;
  #data;
  #states;
  /** By cell: `undefined` where it did not change, `null` where it was deleted. */
  #changes;
  #changed = [];

  constructor({ spans, data }, states) {
    this.#spans = spans;
    this.#data = data;
    this.#states = states;
    this.#changes = new Array(spans.length / 2).fill(undefined);
  }

  get(slot, state) {
    const cell = slot * this.#states + state;
    const change = this.#changes[cell];
    if (change !== undefined) return change ?? undefined;
    const length = this.#spans[2 * cell + 1];
    if (length < 0) return undefined;
    const offset = this.#spans[2 * cell];
    return this.#data.subarray(offset, offset + length);
  }

  put(slot, state, stored) {
    const cell = slot * this.#states + state;
    if (this.#changes[cell] === undefined) this.#changed.push(cell);
    this.#changes[cell] = stored ?? null;
  }

  /** The cells that changed, and their values. */
  finish() {
    const spans = [];
    const data = new Bytes();
    for (const cell of this.#changed) {
      const stored = this.#changes[cell];
      if (stored === null) spans.push(0, -1);
      else spans.push(data.push(stored), stored.length);
    }
    return { cells: this.#changed, values: { spans, data: data.take() } };
  }
}
