/** Uses all of the SDK; probe.py does the same. */
import { Domain, Failure, JSON_VALUE, Keys, Process, TEXT, U64, decode, log } from "wasmill-sdk";

export default class Probe extends Process {
  open(setup) {
    const { greeting } = setup.settings({ greeting: undefined });
    this.greeting = greeting;
    setup.mainOutput(Keys.KEPT);
    this.late = setup.output("late", Keys.KEPT);
    this.seen = setup.state("seen", U64).prefetched();
    this.last = setup.state("last", JSON_VALUE).ttl(3_600_000).single();
    this.fields = setup.state("fields", TEXT).orderedMap();
    this.records = setup.counter("records", "records");
  }

  process(record, cx) {
    const text = record.text();
    const seen = this.seen.update(cx, (seen = 0) => seen + 1);
    this.fields.put(cx, text, String(seen));
    this.records.add();
    if (text === "boom") this.explode(record);
    if (text === "refuse") throw new Failure("refused");
    if (text === "shift") cx.emit(record.withKey("another"));
    if (text === "timer") {
      cx.setTimer(Domain.EVENT_TIME, "tick", record.timestamp + 1000);
      cx.setTimer(Domain.EVENT_TIME, "never", record.timestamp + 1001);
      cx.cancelTimer(Domain.EVENT_TIME, "never");
    }
    if (text === "report") this.report(record, cx);
    else cx.emit(record);
    this.last.put(cx, { text, "größe": [seen, null] });
  }

  explode(record) {
    return undefined[record.keyText()];
  }

  report(record, cx) {
    const names = this.fields.scan(cx, { start: "b", limit: 2 }).map(([field]) => decode(field));
    const backwards = this.fields.scanReverse(cx, { end: "report" }).map(([, value]) => value);
    const found = [this.greeting, this.last.get(cx), this.fields.get(cx, "a"), names, backwards];
    const place = [cx.call.topic, cx.call.offsetOf(record), cx.call.input, cx.call.partition];
    const headers = record.headers.map(([name, value]) => [name, value && decode(value)]);
    log.warn(`probed ${record.keyText()}`);
    cx.emit(record.withJson([found, place, headers]).withHeader("größe", "ja").withTimestamp(7));
    this.fields.deleteRange(cx, { start: "a", end: "b" });
    this.last.delete(cx);
  }

  onTimer(timer, cx) {
    const found = [decode(timer.name), timer.at, this.seen.get(cx), this.fields.get(cx, "a")];
    cx.emitTo(this.late, timer.record.withJson(found));
  }
}
