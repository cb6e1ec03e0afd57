/** What holds for all records of one call. */
import { host } from "./host.js";

/**
 * A call of the operator: a batch of records, or timers that came due together.
 *
 * An operator has no other clock than this, so that a call made again has the same effects.
 */
export class Call {
  #offsets;
  #watermarks;

  constructor({ input, partition, sequence, watermark, processingTime }) {
    /** The input that the records came by, as `Setup.input` answered it. */
    this.input = input;
    /** The partition that is worked for. */
    this.partition = partition;
    /** Number of this call in the life of the task; the same number again is the same call made again. */
    this.sequence = sequence;
    /** The watermark before the first record: no record with an event time at or below it is expected any more. */
    this.watermark = watermark;
    /** The host's clock, the same for the whole call. */
    this.processingTime = processingTime;
  }

  /** The topic that the records come from. */
  get topic() {
    return host.imports.topic();
  }

  /** The offset of one of the call's records in its partition. */
  offsetOf(record) {
    this.#offsets ??= host.imports.offsets();
    return this.#offsets[record.index];
  }

  /** The watermark just before one of the call's records. */
  watermarkBefore(record) {
    this.#watermarks ??= host.imports.watermarks();
    return this.#watermarks[record.index];
  }
}
