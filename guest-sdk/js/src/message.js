/** Records on their way out. */
import { Failure } from "./errors.js";
import { parse, push } from "./headers.js";
import { toBytes } from "./text.js";

/** Stands for a part that is the record's own: it is passed on without a copy. */
export const KEPT = Symbol("kept");

/**
 * A record that the operator emits, or that a test feeds to one.
 *
 * It is mostly made of a `Record`: the parts that are left as they were are then passed on without a copy. The `with…`
 * methods leave the message as it is and return another.
 */
export class Message {
  /** A message with this value, at this event time, without headers. */
  constructor(value, timestamp, key = undefined) {
    this.source = undefined;
    this.ownKey = key === undefined ? undefined : toBytes(key);
    this.ownValue = value === undefined ? undefined : toBytes(value);
    this.ownHeaders = undefined;
    this.timestamp = timestamp;
  }

  /** A message that has all parts of a record. */
  static of(record) {
    const made = Object.create(Message.prototype);
    made.source = record;
    made.ownKey = made.ownValue = made.ownHeaders = KEPT;
    made.timestamp = record.timestamp;
    return made;
  }

  /** The key, if there is one. */
  get key() {
    return this.ownKey === KEPT ? this.source.key : this.ownKey;
  }

  /** The value; `undefined` in a tombstone. */
  get value() {
    return this.ownValue === KEPT ? this.source.value : this.ownValue;
  }

  /** The headers, in order: names, and values that may be `undefined`. */
  get headers() {
    return parse(this.encodedHeaders);
  }

  get encodedHeaders() {
    return this.ownHeaders === KEPT ? this.source.encodedHeaders : this.ownHeaders;
  }

  /** With this key: text or bytes. */
  withKey(key) {
    return but(this, "ownKey", toBytes(key));
  }

  /** Without a key. */
  withoutKey() {
    return but(this, "ownKey", undefined);
  }

  /** With this value: text or bytes. */
  withValue(value) {
    return but(this, "ownValue", toBytes(value));
  }

  /** With this value, written as JSON. */
  withJson(value) {
    return this.withValue(writeJson(value));
  }

  /** With its value absent: where a topic is read as a table, it deletes the key. */
  withoutValue() {
    return but(this, "ownValue", undefined);
  }

  /** With one more header, behind those that are there. */
  withHeader(name, value) {
    return but(this, "ownHeaders", push(this.encodedHeaders, name, value === undefined ? undefined : toBytes(value)));
  }

  /** Without headers. */
  withoutHeaders() {
    return but(this, "ownHeaders", undefined);
  }

  /** With this event time. */
  withTimestamp(timestamp) {
    return but(this, "timestamp", timestamp);
  }
}

/** The message with another part. */
function but(message, part, value) {
  const made = Object.create(Message.prototype);
  made.source = message.source;
  made.ownKey = message.ownKey;
  made.ownValue = message.ownValue;
  made.ownHeaders = message.ownHeaders;
  made.timestamp = message.timestamp;
  made[part] = value;
  return made;
}

/** The text of a value as JSON. */
export function writeJson(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new Failure(`write JSON: ${error.message}`);
  }
  if (text === undefined) throw new Failure(`write JSON: there is none of a value of type ${typeof value}`);
  return text;
}
