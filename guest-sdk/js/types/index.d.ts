/** Types of wasmill-sdk. What each part means is said at length in `src`, and in docs/operators.md. */

/** Text, or bytes. */
export type Part = string | Uint8Array;

/** A time in milliseconds since the Unix epoch, or `NO_TIME`. */
export type Timestamp = number;

/** What `JSON.parse` makes, and what can be written as JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A name, and a value that may be absent. */
export type Header = [name: string, value: Uint8Array | undefined];

/** The settings of an operator, as the pipeline file has them. */
export type Settings = { [name: string]: Json };

/** No time at all. Before all others. */
export const NO_TIME: Timestamp;

/** The text of bytes. What is not UTF-8 throws. */
export function decode(bytes: Uint8Array): string;

/** The bytes of text. */
export function encode(text: string): Uint8Array;

/** This record cannot be handled, and this is why; the others of the call are not concerned. */
export class Failure extends Error {}

/** The call may work later: it is made again after a pause. */
export class Transient extends Error {}

/** The call will not work: `on-error` decides. */
export class Permanent extends Error {}

/** What an output does with the keys of records. */
export const Keys: {
  /** Records leave with the key that they came with. */
  readonly KEPT: true;
  /** Keys may differ. */
  readonly CHANGED: false;
};

/** One of `Keys`. */
export type Keys = boolean;

/** The clock that a timer goes by. */
export const Domain: {
  /** The watermark. */
  readonly EVENT_TIME: "event-time";
  /** The host's clock. */
  readonly PROCESSING_TIME: "processing-time";
};

/** One of `Domain`. */
export type Domain = "event-time" | "processing-time";

/** A record that the operator was given. Its bytes are those of the whole call: copy what is to be kept longer. */
export class Record {
  private constructor();
  /** Its place in the call. */
  readonly index: number;
  /** The event time. */
  readonly timestamp: Timestamp;
  /** The key, if the record has one. */
  get key(): Uint8Array | undefined;
  /** The value; absent in a tombstone. */
  get value(): Uint8Array | undefined;
  /** The headers, in order. */
  get headers(): Header[];
  /** The value of the last header of this name, if it has one. */
  header(name: string): Uint8Array | undefined;
  /** The key as text. One that is absent or not UTF-8 is a failure. */
  keyText(): string;
  /** The value as text. One that is absent or not UTF-8 is a failure. */
  text(): string;
  /** The value, parsed as JSON. One that is absent or does not parse is a failure. */
  json(): any;
  /** The record with another key. */
  withKey(key: Part): Message;
  /** The record without a key. */
  withoutKey(): Message;
  /** The record with another value. */
  withValue(value: Part): Message;
  /** The record with another value, written as JSON. */
  withJson(value: unknown): Message;
  /** The record with its value absent. */
  tombstone(): Message;
  /** The record with one more header. */
  withHeader(name: string, value: Part | undefined): Message;
  /** The record without headers. */
  withoutHeaders(): Message;
  /** The record with another event time. */
  withTimestamp(timestamp: Timestamp): Message;
}

/** A record that the operator emits, or that a test feeds to one. */
export class Message {
  /** A message with this value, at this event time, without headers. */
  constructor(value: Part | undefined, timestamp: Timestamp, key?: Part);
  /** The event time. */
  readonly timestamp: Timestamp;
  /** The key, if there is one. */
  get key(): Uint8Array | undefined;
  /** The value; absent in a tombstone. */
  get value(): Uint8Array | undefined;
  /** The headers, in order. */
  get headers(): Header[];
  /** With this key. */
  withKey(key: Part): Message;
  /** Without a key. */
  withoutKey(): Message;
  /** With this value. */
  withValue(value: Part): Message;
  /** With this value, written as JSON. */
  withJson(value: unknown): Message;
  /** With its value absent. */
  withoutValue(): Message;
  /** With one more header. */
  withHeader(name: string, value: Part | undefined): Message;
  /** Without headers. */
  withoutHeaders(): Message;
  /** With this event time. */
  withTimestamp(timestamp: Timestamp): Message;
}

/** A call of the operator: a batch of records, or timers that came due together. */
export interface Call {
  /** The input that the records came by, as `Setup.input` answered it. */
  readonly input: number;
  /** The partition that is worked for. */
  readonly partition: number;
  /** Number of this call in the life of the task. */
  readonly sequence: number;
  /** The watermark before the first record. */
  readonly watermark: Timestamp;
  /** The host's clock, the same for the whole call. */
  readonly processingTime: Timestamp;
  /** The topic that the records come from. */
  readonly topic: string;
  /** The offset of one of the call's records in its partition. */
  offsetOf(record: Record): number;
  /** The watermark just before one of the call's records. */
  watermarkBefore(record: Record): Timestamp;
}

/** An output other than the main one, made by `Setup.output`. */
export interface Port {
  readonly index: number;
}

/** What a stateless operator emits to. */
export interface Output {
  /** The call that the record came by. */
  readonly call: Call;
  /** Emits to the main output. */
  emit(message: Record | Message): void;
  /** Emits to a named output. */
  emitTo(port: Port, message: Record | Message): void;
}

/** What a keyed operator works with while it handles a record or a timer. */
export interface Context extends Output {
  /** The key of the record or timer at hand. */
  readonly key: Uint8Array;
  /** Sets the key's timer of this domain and name, or moves it. */
  setTimer(domain: Domain, name: Part, at: Timestamp): void;
  /** Takes the key's timer of this domain and name back. */
  cancelTimer(domain: Domain, name: Part): void;
}

/** A timer that came due. */
export interface Timer {
  /** The clock that it went by. */
  readonly domain: Domain;
  /** The key that it belongs to. */
  readonly key: Uint8Array;
  /** Its name. */
  readonly name: Uint8Array;
  /** The time that it was set for. */
  readonly at: Timestamp;
  /** A record to emit from: the timer's key and time. */
  readonly record: Record;
}

/** How values of a type are stored as bytes. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(stored: Uint8Array): T;
}

export const BYTES: Codec<Uint8Array>;
export const TEXT: Codec<string>;
export const JSON_VALUE: Codec<any>;
export const BOOL: Codec<boolean>;
export const U8: Codec<number>;
export const U16: Codec<number>;
export const U32: Codec<number>;
export const U64: Codec<number>;
export const I8: Codec<number>;
export const I16: Codec<number>;
export const I32: Codec<number>;
export const I64: Codec<number>;
export const BIG_U64: Codec<bigint>;
export const BIG_I64: Codec<bigint>;
export const F32: Codec<number>;
export const F64: Codec<number>;
export const TIMESTAMP: Codec<Timestamp>;

/** One value for each key. */
export interface Single<T> {
  /** The value of the context's key; absent where nothing is stored. */
  get(cx: Context): T | undefined;
  /** Stores a value. */
  put(cx: Context, value: T): void;
  /** Stores what `change` makes of the value, and returns it. */
  update(cx: Context, change: (value: T | undefined) => T): T;
  /** Forgets the value. */
  delete(cx: Context): void;
}

/** Which fields of a map: from `start`, which is in it, to `end`, which is not. */
export interface Fields {
  start?: Part;
  end?: Part;
  limit?: number;
}

/** An ordered map from fields to values for each key. */
export interface OrderedMap<T> {
  /** The value of a field; absent where nothing is stored. */
  get(cx: Context, field: Part): T | undefined;
  /** Stores a value for a field. */
  put(cx: Context, field: Part, value: T): void;
  /** Forgets the value of a field. */
  delete(cx: Context, field: Part): void;
  /** The fields of a range with their values, in order from the first. */
  scan(cx: Context, fields?: Fields): [field: Uint8Array, value: T][];
  /** The fields of a range with their values, in order from the last. */
  scanReverse(cx: Context, fields?: Fields): [field: Uint8Array, value: T][];
  /** Forgets the values of all fields of a range. */
  deleteRange(cx: Context, fields?: { start?: Part; end?: Part }): void;
}

/** A state being declared. */
export interface StateSetup<T> {
  /** Forgets what was last written this many milliseconds of event time ago. */
  ttl(milliseconds: number): StateSetup<T>;
  /** The version of the values' encoding, from 1 to 255. */
  encoding(version: number): StateSetup<T>;
  /** How values of other encodings are read. */
  older(read: (version: number, stored: Uint8Array) => T): StateSetup<T>;
  /** One value for each key, read when it is asked for. */
  single(): Single<T>;
  /** One value for each key, fetched ahead for all keys of a call. */
  prefetched(): Single<T>;
  /** An ordered map for each key. */
  orderedMap(): OrderedMap<T>;
}

/** A sum that only grows. */
export interface Counter {
  /** Adds to it, 1 by default. */
  add(delta?: number): void;
}

/** A number that goes up and down. */
export interface Gauge {
  /** Sets it. */
  set(value: number): void;
}

/** A distribution of observed numbers. */
export interface Histogram {
  /** Adds an observation. */
  observe(value: number): void;
}

/** Settings in, declarations out: what `open` is given. */
export interface Setup {
  /** The operator's settings. */
  settings(): Settings;
  /** The settings that there are, with their defaults; one whose default is `undefined` must be given. */
  settings<T extends object>(known: T): { [K in keyof T]: Exclude<T[K], undefined> };
  /** Declares an input, and answers what `Call.input` is for its records. */
  input(name: string): number;
  /** Says what the main output does with keys. */
  mainOutput(keys: Keys): void;
  /** Declares an output besides the main one. */
  output(name: string, keys: Keys): Port;
  /** Begins to declare a state with values of this type. */
  state<T>(name: string, value: Codec<T>): StateSetup<T>;
  /** Declares a counter. */
  counter(name: string, unit: string): Counter;
  /** Declares a gauge. */
  gauge(name: string, unit: string): Gauge;
  /** Declares a histogram. */
  histogram(name: string, unit: string): Histogram;
}

/** A stateless operator: one record in, any number out. */
export class Transform {
  static role: "transform";
  /** Reads the settings and declares what there is, once on each new instance. */
  open(setup: Setup): void;
  /** Handles one record. */
  process(record: Record, out: Output): void;
}

/** A keyed operator, with state and timers. */
export class Process {
  static role: "process";
  /** Reads the settings and declares what there is, once on each new instance. */
  open(setup: Setup): void;
  /** Handles one record. */
  process(record: Record, cx: Context): void;
  /** Handles a timer that came due. */
  onTimer(timer: Timer, cx: Context): void;
}

/** How much a line of the log matters. */
export type Level = "trace" | "debug" | "info" | "warn" | "error";

/** The operator's log. */
export namespace log {
  /** Whether anybody listens at this level. */
  function enabled(level: Level): boolean;
  /** Writes a line. */
  function log(level: Level, message: unknown): void;
  function trace(message: unknown): void;
  function debug(message: unknown): void;
  function info(message: unknown): void;
  function warn(message: unknown): void;
  function error(message: unknown): void;
}
