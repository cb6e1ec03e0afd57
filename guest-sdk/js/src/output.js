/** What an operator emits. */
import { Permanent } from "./errors.js";
import { host } from "./host.js";
import { KEPT, Message, Parts } from "./message.js";
import { Record } from "./record.js";
import { same } from "./text.js";

/** A buffer is handed to the host when it passes this many bytes, at the latest at the end of the call. */
const FLUSH_BYTES = 1 << 20;

/** The sign bit of an offset: it counts in the data that the call was given. */
const OF_INPUT = 1 << 31;

/** An output of the operator other than the main one, made by `Setup.output`. */
export class Port {
  constructor(index) {
    this.index = index;
  }
}

/** What a call emits so far. */
export class Output {
  #buffers;
  #record;

  constructor(buffers, call) {
    this.#buffers = buffers;
    /** The call that the record came by. */
    this.call = call;
  }

  /**
   * Emits to the main output. A `Record` is passed on as it is.
   *
   * It is a permanent error to emit another key than the record's own to an output that is declared to keep keys.
   */
  emit(message) {
    this.#buffers[0].push(message, this.#record);
  }

  /** Emits to a named output, as `emit` does to the main one. */
  emitTo(port, message) {
    this.#buffers[port.index].push(message, this.#record);
  }

  /** From here on everything emitted comes from this record. For the SDK. */
  begin(record) {
    this.#record = record;
    for (const buffer of this.#buffers) buffer.mark();
  }

  /** The record at hand is done: its output stays. For the SDK. */
  settle() {
    for (const buffer of this.#buffers) if (buffer.length > FLUSH_BYTES) buffer.flush();
  }

  /** Takes back what the record at hand emitted. For the SDK. */
  rollBack() {
    for (const buffer of this.#buffers) buffer.rollBack();
  }

  /** Hands everything to the host. For the SDK. */
  finish() {
    for (const buffer of this.#buffers) buffer.flush();
  }
}

/** Bytes that grow. */
export class Bytes {
  constructor() {
    this.bytes = new Uint8Array(1024);
    this.length = 0;
  }

  /** Adds bytes, and answers their offset. */
  push(added) {
    const offset = this.length;
    if (added.length === 0) return offset;
    this.length += added.length;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(2 * this.length);
      larger.set(this.bytes.subarray(0, offset));
      this.bytes = larger;
    }
    this.bytes.set(added, offset);
    return offset;
  }

  /** A copy of what there is. */
  take() {
    return this.bytes.slice(0, this.length);
  }
}

/** The columns of one output. */
export class Buffer {
  constructor(port, name, keepsKeys) {
    this.port = port;
    this.name = name;
    this.keepsKeys = keepsKeys;
    this.clear();
  }

  get length() {
    return this.data.length;
  }

  clear() {
    this.timestamps = [];
    this.spans = [];
    this.data = new Bytes();
    this.origins = [];
    this.mark();
  }

  mark() {
    this.marked = this.origins.length;
    this.markedBytes = this.data.length;
  }

  rollBack() {
    this.timestamps.length = this.origins.length = this.marked;
    this.spans.length = 6 * this.marked;
    this.data.length = this.markedBytes;
  }

  push(given, record) {
    const message = given instanceof Record ? new Parts(given, KEPT, KEPT, KEPT, given.timestamp) : given;
    if (!(message instanceof Message)) throw new TypeError(`what is emitted is a Record or a Message, not ${typeof given}`);
    const { source } = message;
    const ownKey = message.ownKey === KEPT && source === record;
    if (this.keepsKeys && !ownKey && !same(message.key, record.key)) {
      throw new Permanent(`output \`${this.name}\` is declared to keep keys, but was given another one`);
    }
    // The bytes of a record of an earlier call are not in the input any more.
    const inInput = source?.data === record.data;
    span(this, message.ownKey, source, inInput, 0);
    span(this, message.ownValue, source, inInput, 2);
    span(this, message.ownHeaders, source, inInput, 4);
    this.timestamps.push(message.timestamp);
    this.origins.push(record.index);
  }

  flush() {
    if (this.origins.length === 0) return;
    host.imports.emit(this.port, this.timestamps, this.spans, this.data.take(), this.origins);
    this.clear();
  }
}

/** Adds the span of a part; those that are in the call's input are not copied. */
function span({ spans, data }, own, source, inInput, at) {
  let part = own;
  if (own === KEPT) {
    if (inInput) {
      const length = source.spans[source.at + at + 1];
      spans.push(length < 0 ? 0 : source.spans[source.at + at] | OF_INPUT, length);
      return;
    }
    part = source.part(at);
  }
  if (part === undefined) spans.push(0, -1);
  else spans.push(data.push(part), part.length);
}
