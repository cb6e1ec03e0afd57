/** What keyed operators do with state and timers. */
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  BIG_U64, BOOL, BYTES, Domain, F64, Failure, I32, I64, JSON_VALUE, Keys, Message, NO_TIME, Process, TEXT, TIMESTAMP, U64,
  decode, encode,
} from "wasmill-sdk";
import * as testing from "wasmill-sdk/testing";

class Count extends Process {
  open(setup) {
    setup.mainOutput(Keys.KEPT);
    this.count = setup.state("count", U64).prefetched();
  }

  process(record, cx) {
    const count = this.count.update(cx, (count = 0) => count + 1);
    if (record.text() === "fail") throw new Failure("no");
    cx.emit(record.withValue(String(count)));
  }
}

class Baskets extends Process {
  open(setup) {
    this.items = setup.state("items", JSON_VALUE).orderedMap();
    this.last = setup.state("last", TEXT).encoding(3).older((version, stored) => `${version}: ${decode(stored)}`).single();
    this.sent = setup.counter("sent", "baskets");
  }

  process(record, cx) {
    if (record.text() === "cancel") {
      cx.cancelTimer(Domain.PROCESSING_TIME, "send");
      this.last.delete(cx);
      return;
    }
    if (record.text() === "last") {
      cx.emit(record.withValue(this.last.get(cx) ?? "none"));
      return;
    }
    this.items.put(cx, record.value, { at: record.timestamp });
    this.last.put(cx, record.text());
    cx.setTimer(Domain.PROCESSING_TIME, "send", cx.call.processingTime + 10);
  }

  onTimer(timer, cx) {
    const fields = this.items.scan(cx, { start: "a", end: "y" }).map(([field]) => decode(field));
    const latest = this.items.scanReverse(cx, { limit: 1 }).map(([field]) => decode(field));
    cx.emit(timer.record.withJson([fields, latest]));
    this.items.deleteRange(cx, { start: "a", end: "c" });
    this.sent.add();
  }
}

const message = (key, value, timestamp = 7) => ({ key, value, timestamp, headers: [] });
const word = (key, value = "") => new Message(value, 7, key);

test("every count of every key comes out", () => {
  const count = testing.process(Count);
  count.send([word("a"), word("b"), word("a")]);
  assert.deepEqual(count.take("main"), [message("a", "1"), message("b", "1"), message("a", "2")]);
  count.reopen();
  count.send([word("a"), word(undefined), word("c")]);
  assert.deepEqual(count.take("main"), [message("a", "3"), message("c", "1")]);
  assert.deepEqual([count.state("count", "a"), count.state("count", "d")], [3, undefined]);
  assert.deepEqual(count.failures.map(({ reason }) => reason), ["the record has no key"]);
});

test("a record that wrote and failed leaves nothing", () => {
  const count = testing.process(Count);
  count.send(["", "fail", "", "fail", ""].map((value) => word("a", value)));
  assert.deepEqual(count.take("main"), ["1", "2", "3"].map((value) => message("a", value)));
  assert.deepEqual(count.failures.map(({ reason }) => reason), ["no", "no"]);
});

test("timers fire once and can be moved and cancelled", () => {
  const baskets = testing.process(Baskets);
  baskets.send([new Message("b", 0, "k"), new Message("z", 1, "k"), new Message("x", 0, "other")]);
  assert.deepEqual(baskets.timers().map(({ key }) => key), ["k", "other"]);
  baskets.send([new Message("cancel", 0, "other")]);
  baskets.advanceProcessingTime(9);
  assert.deepEqual(baskets.take("main"), []);
  baskets.advanceProcessingTime(10);
  assert.deepEqual(baskets.take("main"), [message("k", '[["b"],["z"]]', 10)]);
  assert.deepEqual(baskets.map("items", "k"), [["z", { at: 1 }]]);
  baskets.advanceProcessingTime(20);
  assert.deepEqual([baskets.take("main"), baskets.timers(), baskets.counter("sent")], [[], [], 1]);
});

test("older encodings are read", () => {
  const baskets = testing.process(Baskets);
  baskets.store("last", "k", 2, encode("old"));
  baskets.send([word("k", "last")]);
  assert.deepEqual(baskets.take("main"), [message("k", "2: old")]);
  const count = testing.process(Count);
  count.store("count", "k", 9, new Uint8Array(8));
  assert.throws(() => count.send([word("k")]), /encoding 9, not in 1/);
});

test("values have the bytes of other languages", () => {
  const table = [
    [U64, 1, [1, 0, 0, 0, 0, 0, 0, 0]], [I64, -1, [255, 255, 255, 255, 255, 255, 255, 255]], [I32, -2, [254, 255, 255, 255]],
    [F64, 1, [0, 0, 0, 0, 0, 0, 0xf0, 0x3f]], [BOOL, true, [1]], [TEXT, "ö", [0xc3, 0xb6]], [BYTES, Uint8Array.of(0), [0]],
    [JSON_VALUE, { "ö": [1, null] }, [...encode('{"ö":[1,null]}')]], [TIMESTAMP, NO_TIME, [0, 0, 0, 0, 0, 0, 0, 128]],
    [BIG_U64, 2n ** 64n - 1n, [255, 255, 255, 255, 255, 255, 255, 255]],
  ];
  for (const [value, given, stored] of table) {
    assert.deepEqual([...value.encode(given)], stored);
    assert.deepEqual(value.decode(Uint8Array.from(stored)), given);
  }
  for (const [value, wrong] of [[U64, -1], [U64, 2 ** 53], [I32, 2 ** 31], [TEXT, 1], [BYTES, ""], [JSON_VALUE, undefined]]) {
    assert.throws(() => value.encode(wrong), Failure);
  }
  for (const [value, wrong] of [[U64, [1]], [U64, [255, 255, 255, 255, 255, 255, 255, 255]], [JSON_VALUE, [123]]]) {
    assert.throws(() => value.decode(Uint8Array.from(wrong)), Failure);
  }
});
