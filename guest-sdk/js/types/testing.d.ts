/** Types of wasmill-sdk/testing. */
import type { Domain, Message, Part, Process, Settings, Timestamp, Transform } from "./index.d.ts";

/** Bytes as text if they are text. */
export function plain(bytes: Uint8Array): string | Uint8Array;
export function plain(bytes: Uint8Array | undefined): string | Uint8Array | undefined;

/** Opens a stateless operator with its settings. */
export function transform(Operator: new () => Transform, settings?: Settings): Harness;

/** Opens a keyed operator with its settings. */
export function process(Operator: new () => Process, settings?: Settings): Harness;

/** What was emitted; bytes that are text are text. */
export interface Taken {
  key: string | Uint8Array | undefined;
  value: string | Uint8Array | undefined;
  timestamp: Timestamp;
  headers: [name: string, value: string | Uint8Array | undefined][];
}

/** A timer that is set. */
export interface SetTimer {
  domain: Domain;
  at: Timestamp;
  key: string | Uint8Array;
  name: string | Uint8Array;
}

/** An operator, and the host around it. */
export class Harness {
  private constructor();
  /** The records that the operator could not handle, each with its reason. */
  failures: { record: Message; reason: string }[];
  /** The lines of the log. */
  lines: { level: string; message: string }[];
  /** Replaces the instance by a new one. */
  reopen(): void;
  /** Gives records to the operator in one call, then fires the timers that are due. */
  send(records: Message[], input?: string): void;
  /** Moves the watermark on. */
  advanceWatermark(to: Timestamp): void;
  /** Moves the host's clock on. */
  advanceProcessingTime(to: Timestamp): void;
  /** Takes what was emitted to an output since it was last taken. */
  take(output: string): Taken[];
  /** The value of a key in a state with one value for each key. */
  state(name: string, key: Part): any;
  /** The fields and values of a key in an ordered map. */
  map(name: string, key: Part): [field: string | Uint8Array, value: any][];
  /** Stores bytes as an operator with another encoding did. */
  store(name: string, key: Part, encoding: number, stored: Uint8Array): void;
  /** The timers that are set, in the order in which they fire. */
  timers(): SetTimer[];
  /** The sum of a counter. */
  counter(name: string): number;
  /** The number that a gauge was last set to. */
  gauge(name: string): number | undefined;
  /** The observations of a histogram. */
  observations(name: string): number[];
}
