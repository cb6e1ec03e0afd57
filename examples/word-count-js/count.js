/** Counts the records of each key and emits every count, as decimal text. */
import { Keys, Process, U64 } from "wasmill-sdk";

export default class Count extends Process {
  open(setup) {
    setup.mainOutput(Keys.KEPT);
    this.count = setup.state("count", U64).prefetched();
  }

  process(record, cx) {
    const count = this.count.update(cx, (count = 0) => count + 1);
    cx.emit(record.withValue(String(count)));
  }
}
