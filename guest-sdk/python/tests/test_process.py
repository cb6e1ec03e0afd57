"""What keyed operators do with state and timers."""

import unittest

from wasmill import (
    BOOL, BYTES, F64, I64, JSON, TEXT, U64, Domain, Failure, Fields, Keys, Message, Permanent, Process, testing,
)


class Count(Process):
    def open(self, setup):
        setup.main_output(Keys.KEPT)
        self.count = setup.state("count", U64).prefetched()

    def process(self, record, cx):
        count = self.count.update(cx, lambda count: (count or 0) + 1)
        if record.value == b"fail":
            raise Failure("no")
        cx.emit(record.with_value(str(count)))


class Baskets(Process):
    def open(self, setup):
        self.items = setup.state("items", JSON).ordered_map()
        self.last = setup.state("last", TEXT).older(lambda version, stored: f"{version}: {stored.decode()}").encoding(3).single()
        self.sent = setup.counter("sent", "baskets")

    def process(self, record, cx):
        if record.value == b"cancel":
            cx.cancel_timer(Domain.PROCESSING_TIME, "send")
            self.last.delete(cx)
            return
        if record.value == b"last":
            cx.emit(record.with_value(self.last.get(cx) or "none"))
            return
        self.items.put(cx, record.value, {"at": record.timestamp})
        self.last.put(cx, record.text())
        cx.set_timer(Domain.PROCESSING_TIME, "send", cx.call.processing_time + 10)

    def on_timer(self, timer, cx):
        fields = [field.decode() for field, _ in self.items.scan(cx, Fields("a", "y"))]
        latest = [field.decode() for field, _ in self.items.scan_reverse(cx, limit=1)]
        cx.emit(timer.record.with_json([fields, latest]))
        self.items.delete_range(cx, Fields("a", "c"))
        self.sent.add()


class ProcessTest(unittest.TestCase):
    def test_every_count_of_every_key_comes_out(self):
        count = testing.process(Count)
        word = lambda key, value="": Message(value, 7, key=key)
        count.send([word("a"), word("b"), word("a")])
        self.assertEqual(count.take("main"), [word("a", "1"), word("b", "1"), word("a", "2")])
        count.reopen()
        count.send([word("a"), Message("", 7), word("c")])
        self.assertEqual(count.take("main"), [word("a", "3"), word("c", "1")])
        self.assertEqual((count.state("count", "a"), count.state("count", "d")), (3, None))
        self.assertEqual([failed.reason for failed in count.failures], ["the record has no key"])

    def test_a_record_that_wrote_and_failed_leaves_nothing(self):
        count = testing.process(Count)
        word = lambda value: Message(value, 0, key="a")
        count.send([word(""), word("fail"), word(""), word("fail"), word("")])
        self.assertEqual(count.take("main"), [word("1"), word("2"), word("3")])
        self.assertEqual([failed.reason for failed in count.failures], ["no", "no"])

    def test_timers_fire_once_and_can_be_moved_and_cancelled(self):
        baskets = testing.process(Baskets)
        baskets.send([Message(item, at, key="k") for at, item in enumerate("bz")] + [Message("x", 0, key="other")])
        self.assertEqual([timer[2] for timer in baskets.timers()], [b"k", b"other"])
        baskets.send([Message("cancel", 0, key="other")])
        baskets.advance_processing_time(9)
        self.assertEqual(baskets.take("main"), [])
        baskets.advance_processing_time(10)
        self.assertEqual(baskets.take("main"), [Message('[["b"],["z"]]', 10, key="k")])
        self.assertEqual(baskets.map("items", "k"), [(b"z", {"at": 1})])
        baskets.advance_processing_time(20)
        self.assertEqual((baskets.take("main"), baskets.timers(), baskets.counter("sent")), ([], [], 1))

    def test_older_encodings_are_read(self):
        baskets = testing.process(Baskets)
        baskets.store("last", "k", 2, b"old")
        last = Message("last", 0, key="k")
        baskets.send([last])
        self.assertEqual(baskets.take("main"), [last.with_value("2: old")])
        count = testing.process(Count)
        count.store("count", "k", 9, bytes(8))
        with self.assertRaisesRegex(Permanent, "encoding 9, not in 1"):
            count.send([last])

    def test_values_have_the_bytes_of_other_languages(self):
        table = [
            (U64, 1, b"\1" + bytes(7)), (I64, -1, b"\xff" * 8), (F64, 1.0, bytes(6) + b"\xf0\x3f"), (BOOL, True, b"\1"),
            (TEXT, "ö", b"\xc3\xb6"), (BYTES, b"\0", b"\0"), (JSON, {"ö": [1, None]}, '{"ö":[1,null]}'.encode()),
        ]
        for value, number, stored in table:
            self.assertEqual((value.encode(number), value.decode(stored)), (stored, number))
        for value, wrong in [(U64, -1), (U64, "1"), (TEXT, b""), (BYTES, ""), (JSON, {1, 2})]:
            with self.assertRaises(Failure):
                value.encode(wrong)
        for value, wrong in [(U64, b"1234567"), (JSON, b"{")]:
            with self.assertRaises(Failure):
                value.decode(wrong)


if __name__ == "__main__":
    unittest.main()
