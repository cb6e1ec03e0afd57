/** Operators in TypeScript, to be checked by its compiler and by nothing else. */
import {
  BIG_U64, type Context, Domain, Failure, JSON_VALUE, type Json, Keys, Message, NO_TIME, type OrderedMap, type Output, type Port,
  Process, type Record, type Setup, type Single, TEXT, type Timer, Transform, U64, decode, log,
} from "wasmill-sdk";
import * as testing from "wasmill-sdk/testing";

class Route extends Transform {
  large!: Port;
  least = 0;

  override open(setup: Setup): void {
    const settings = setup.settings({ "large-from": undefined as number | undefined, unit: "euros" });
    this.least = settings["large-from"];
    this.large = setup.output("large", Keys.KEPT);
    setup.mainOutput(Keys.KEPT);
    setup.histogram("amounts", settings.unit).observe(1);
  }

  override process(record: Record, out: Output): void {
    const { amount } = record.json();
    if (typeof amount !== "number") throw new Failure("no amount");
    if (amount >= this.least) out.emitTo(this.large, record);
    else out.emit(record.withHeader("small", "1").withHeader("none", undefined).withTimestamp(NO_TIME));
  }
}

interface Basket {
  items: number;
}

class Baskets extends Process {
  count!: Single<number>;
  total!: Single<bigint>;
  items!: OrderedMap<Basket>;
  last!: Single<string>;

  override open(setup: Setup): void {
    const given: { [name: string]: Json } = setup.settings();
    log.info(Object.keys(given).length);
    this.count = setup.state("count", U64).prefetched();
    this.total = setup.state("total", BIG_U64).ttl(1000).single();
    this.items = setup.state("items", JSON_VALUE).orderedMap();
    this.last = setup.state("last", TEXT).encoding(2).older((version, stored) => `${version}: ${decode(stored)}`).single();
  }

  override process(record: Record, cx: Context): void {
    const count: number = this.count.update(cx, (count = 0) => count + 1);
    this.total.put(cx, (this.total.get(cx) ?? 0n) + 1n);
    this.items.put(cx, record.value ?? "", { items: count });
    cx.setTimer(Domain.EVENT_TIME, "tick", cx.call.watermark + 10);
    cx.emit(record.withJson(this.items.scan(cx, { start: "a", limit: 2 }).map(([field, basket]) => [decode(field), basket.items])));
  }

  override onTimer(timer: Timer, cx: Context): void {
    cx.emit(timer.record.withValue(timer.name));
  }
}

const route = testing.transform(Route, { "large-from": 5 });
route.send([new Message("{}", 0), new Message(undefined, 1, "k")]);
const reasons: string[] = route.failures.map(({ reason }) => reason);
const baskets = testing.process(Baskets);
const timers: number[] = baskets.timers().map(({ at }) => at);
export { reasons, timers };

// What is wrong is told.
// @ts-expect-error a port is no name
export const misnamed = (out: Output, record: Record) => out.emitTo("large", record);
// @ts-expect-error a state of numbers holds no text
export const mistyped = (count: Single<number>, cx: Context) => count.put(cx, "1");
// @ts-expect-error nothing may be stored
export const absent = (count: Single<number>, cx: Context): number => count.get(cx);
// @ts-expect-error there is no such domain
export const misspelt = (cx: Context) => cx.setTimer("event", "tick", 1);
// @ts-expect-error a stateless operator has no state
export const stateless = (count: Single<number>, out: Output) => count.get(out);
