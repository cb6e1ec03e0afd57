/** Splits text into words: a record for each, keyed by the word in lower case. */
import { Transform } from "wasmill-sdk";

const WORD = /[\p{Alphabetic}\p{Number}_]+/gu;

export default class Split extends Transform {
  process(record, out) {
    for (const word of record.text().match(WORD) ?? []) {
      out.emit(record.withKey(word.toLowerCase()).withValue(""));
    }
  }
}
