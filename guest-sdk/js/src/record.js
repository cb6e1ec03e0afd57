/** Records on their way in. */
import { Failure } from "./errors.js";
import { parse, push } from "./headers.js";
import { KEPT, Parts, writeJson } from "./message.js";
import { decode, toBytes } from "./text.js";

const UNREAD = Symbol("unread");

/**
 * A record that the operator was given. Its bytes are those of the whole call: copy what is to be kept longer.
 *
 * The `with…` methods make a `Message` of it for `Output.emit`; what they leave alone is passed on.
 */
export class Record {
  #key = UNREAD;
  #value = UNREAD;

  constructor(data, spans, index, timestamp) {
    this.data = data;
    this.spans = spans;
    this.at = 6 * index;
    /** Its place in the call. */
    this.index = index;
    /** The event time in milliseconds; `NO_TIME` where the record has none. */
    this.timestamp = timestamp;
  }

  part(at) {
    const offset = this.spans[this.at + at];
    const length = this.spans[this.at + at + 1];
    return length < 0 ? undefined : this.data.subarray(offset, offset + length);
  }

  /** The key, if the record has one. In a keyed operator it always has. */
  get key() {
    if (this.#key === UNREAD) this.#key = this.part(0);
    return this.#key;
  }

  /** The value; `undefined` in a tombstone. */
  get value() {
    if (this.#value === UNREAD) this.#value = this.part(2);
    return this.#value;
  }

  get encodedHeaders() {
    return this.part(4);
  }

  /** The headers, in order: names, and values that may be `undefined`. */
  get headers() {
    return parse(this.encodedHeaders);
  }

  /** The value of the last header of this name, if it has one. */
  header(name) {
    return this.headers.filter(([other]) => other === name).at(-1)?.[1];
  }

  /** The key as text. A key that is absent or not UTF-8 is a failure. */
  keyText() {
    if (this.key === undefined) throw new Failure("the record has no key");
    return text(this.key, "key");
  }

  /** The value as text. A value that is absent or not UTF-8 is a failure. */
  text() {
    if (this.value === undefined) throw new Failure("the record has no value");
    return text(this.value, "value");
  }

  /** The value, parsed as JSON. A value that is absent or does not parse is a failure. */
  json() {
    const json = this.text();
    try {
      return JSON.parse(json);
    } catch (error) {
      throw new Failure(`parse the value as JSON: ${error.message}`);
    }
  }

  /** The record with another key: text or bytes. */
  withKey(key) {
    return new Parts(this, toBytes(key), KEPT, KEPT, this.timestamp);
  }

  /** The record without a key. */
  withoutKey() {
    return new Parts(this, undefined, KEPT, KEPT, this.timestamp);
  }

  /** The record with another value: text or bytes. */
  withValue(value) {
    return new Parts(this, KEPT, toBytes(value), KEPT, this.timestamp);
  }

  /** The record with another value, written as JSON. */
  withJson(value) {
    return this.withValue(writeJson(value));
  }

  /** The record with its value absent: where a topic is read as a table, it deletes the key. */
  tombstone() {
    return new Parts(this, KEPT, undefined, KEPT, this.timestamp);
  }

  /** The record with one more header. */
  withHeader(name, value) {
    const headers = push(this.encodedHeaders, name, value === undefined ? undefined : toBytes(value));
    return new Parts(this, KEPT, KEPT, headers, this.timestamp);
  }

  /** The record without headers. */
  withoutHeaders() {
    return new Parts(this, KEPT, KEPT, undefined, this.timestamp);
  }

  /** The record with another event time. */
  withTimestamp(timestamp) {
    return new Parts(this, KEPT, KEPT, KEPT, timestamp);
  }
}

function text(part, noun) {
  try {
    return decode(part);
  } catch {
    throw new Failure(`read the ${noun} as text: it is not UTF-8`);
  }
}
