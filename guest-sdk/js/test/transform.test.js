/** What stateless operators do with records. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure, Keys, Message, NO_TIME, Permanent, Transform, Transient, decode, encode } from "wasmill-sdk";
import * as testing from "wasmill-sdk/testing";

class Shout extends Transform {
  process(record, out) {
    out.emit(record.withValue(record.text().toUpperCase()));
  }
}

class Route extends Transform {
  open(setup) {
    this.least = setup.settings({ "large-from": 100 })["large-from"];
    this.large = setup.output("large", Keys.KEPT);
    setup.mainOutput(Keys.KEPT);
    this.amounts = setup.histogram("amounts", "euros");
  }

  process(record, out) {
    if (decode(record.value) === "again") throw new Transient("try later");
    const { amount } = record.json();
    if (amount === undefined) throw new Failure("no amount");
    this.amounts.observe(amount);
    if (amount >= this.least) out.emitTo(this.large, record);
    else out.emit(record);
  }
}

class Odd extends Transform {
  process(record, out) {
    out.emit(record);
    const text = decode(record.value);
    if (text === "boom") this.explode(record);
    if (text === "fail") throw new Failure("refused");
    if (text === "throw") throw "a string";
    out.emit(record.withHeader("a", "1").withHeader("b", undefined).withKey("k").withTimestamp(3));
    out.emit(record.tombstone().withoutHeaders());
  }

  explode(record) {
    return record.header("none").length;
  }
}

class Rekey extends Transform {
  open(setup) {
    setup.mainOutput(Keys.KEPT);
  }

  process(record, out) {
    out.emit(record.withKey(record.value));
  }
}

const message = (key, value, timestamp, headers = []) => ({ key, value, timestamp, headers });

test("what is left alone is passed on", () => {
  const odd = testing.transform(Odd);
  odd.send([new Message("v", NO_TIME, "k0").withHeader("h", "x").withHeader("none", undefined)]);
  const headers = [["h", "x"], ["none", undefined]];
  assert.deepEqual(odd.take("main"), [
    message("k0", "v", NO_TIME, headers),
    message("k", "v", 3, [...headers, ["a", "1"], ["b", undefined]]),
    message("k0", undefined, NO_TIME),
  ]);
});

test("a record that fails leaves nothing and says where", () => {
  const odd = testing.transform(Odd);
  odd.send([new Message("boom", 0), new Message("fail", 1), new Message("throw", 2), new Message("v", 3)]);
  assert.equal(odd.take("main").length, 3);
  const reasons = odd.failures.map(({ reason }) => reason);
  assert.match(reasons[0], /^TypeError: .*; at .*transform.test.js:\d+:\d+ in .*explode < .*transform.test.js:\d+:\d+ in/);
  assert.deepEqual(reasons.slice(1), ["refused", "threw a string"]);
});

test("what is no text is a failure", () => {
  const shout = testing.transform(Shout);
  const wrong = [[0xff], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xe2, 0x82]].map((bytes) => Uint8Array.from(bytes));
  shout.send([...wrong.map((bytes) => new Message(bytes, 0)), new Message(undefined, 1), new Message("größe", 2)]);
  assert.deepEqual(shout.take("main"), [message(undefined, "GRÖSSE", 2)]);
  const reasons = shout.failures.map(({ reason }) => reason.split(":")[0]);
  assert.deepEqual(reasons, [...wrong.map(() => "read the value as text"), "the record has no value"]);
});

test("settings choose ports", () => {
  const route = testing.transform(Route, { "large-from": 5 });
  const values = ['{"amount":4}', '{"amount":5}', "{", "[]"];
  route.send(values.map((value, at) => new Message(value, at)));
  assert.deepEqual(route.take("main"), [message(undefined, values[0], 0)]);
  assert.deepEqual(route.take("large"), [message(undefined, values[1], 1)]);
  assert.deepEqual(route.observations("amounts"), [4, 5]);
  assert.match(route.failures[0].reason, /^parse the value as JSON: /);
  assert.throws(() => testing.transform(Route, { large: 1 }), /^Error: read the settings: there is no `large`/);
  assert.throws(() => testing.transform(Shout, { loud: true }), Permanent);
});

test("a transient error is that of the call", () => {
  const route = testing.transform(Route);
  assert.throws(() => route.send([new Message('{"amount":4}', 0), new Message("again", 1)]), Transient);
  assert.deepEqual([route.take("main"), route.failures], [[], []]);
});

test("keys that are to be kept are", () => {
  const rekey = testing.transform(Rekey);
  rekey.send([new Message("k", 0, "k")]);
  assert.throws(() => rekey.send([new Message("other", 0, "k")]), /keep keys/);
});

test("text and bytes are each other's", () => {
  for (const text of ["", "ascii", "größe λόγος 日本 😀", "\u0000\ufeff", "x".repeat(100_000)]) {
    assert.deepEqual(encode(text), new Uint8Array(new TextEncoder().encode(text)));
    assert.equal(decode(encode(text)), text);
  }
  assert.throws(() => encode("\ud800"), URIError);
});
