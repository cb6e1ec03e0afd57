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
    return new Parts(this.source, toBytes(key), this.ownValue, this.ownHeaders, this.timestamp);
  }

  /** Without a key. */
  withoutKey() {
    return new Parts(this.source, undefined, this.ownValue, this.ownHeaders, this.timestamp);
  }

  /** With this value: text or bytes. */
  withValue(value) {
    return new Parts(this.source, this.ownKey, toBytes(value), this.ownHeaders, this.timestamp);
  }

  /** With this value, written as JSON. */
  withJson(value) {
    return this.withValue(writeJson(value));
  }

  /** With its value absent: where a topic is read as a table, it deletes the key. */
  withoutValue() {
    return new Parts(this.source, this.ownKey, undefined, this.ownHeaders, this.timestamp);
  }

  /** With one more header, behind those that are there. */
  withHeader(name, value) {
    const headers = push(this.encodedHeaders, name, value === undefined ? undefined : toBytes(value));
    return new Parts(this.source, this.ownKey, this.ownValue, headers, this.timestamp);
  }

  /** Without headers. */
  withoutHeaders() {
    return new Parts(this.source, this.ownKey, this.ownValue, undefined, this.timestamp);
  }

  /** With this event time. */
  withTimestamp(timestamp) {
    return new Parts(this.source, this.ownKey, this.ownValue, this.ownHeaders, timestamp);
  }
}

/** A message of these parts, made in one step: the record that parts which are `KEPT` are of, and the parts. For the SDK. */
export function Parts(source, key, value, headers, timestamp) {
  this.source = source;
  this.ownKey = key;
  this.ownValue = value;
  this.ownHeaders = headers;
  this.timestamp = timestamp;
}
Parts.prototype = Message.prototype;

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
