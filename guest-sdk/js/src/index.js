/**
 * Write Wasmill operators in JavaScript.
 *
 * An operator is given records in batches, and what it emits, stores and sets takes effect with the records' offsets: all of
 * it once, or none of it. A stateless one is a `Transform`, a keyed one a `Process`; its module exports it as the default:
 *
 *     import { Transform } from "wasmill-sdk";
 *
 *     export default class Split extends Transform {
 *       process(record, out) {
 *         for (const word of record.text().split(/\s+/)) out.emit(record.withKey(word));
 *       }
 *     }
 *
 * Anything that `process` throws makes the record at hand a dead letter that names the error with its file and line, and the
 * others go on. `Failure` says a reason of its own; `Transient` has the whole call made again after a pause.
 *
 * What is absent (a key, a value, a stored value) is `undefined`. Bytes are `Uint8Array`; times are milliseconds since the
 * Unix epoch. Whole numbers are exact to 2^53.
 */
export { Failure, Permanent, Transient } from "./errors.js";
export * as log from "./log.js";
export { Message } from "./message.js";
export { Process, Transform } from "./operator.js";
export { Record } from "./record.js";
export { Keys } from "./setup.js";
export { decode, encode } from "./text.js";
export { Domain } from "./timer.js";
export { NO_TIME } from "./timestamp.js";
export {
  BIG_I64, BIG_U64, BOOL, BYTES, F32, F64, I8, I16, I32, I64, JSON_VALUE, TEXT, TIMESTAMP, U8, U16, U32, U64,
} from "./values.js";
