"""What stateless operators do with records."""

import unittest

from wasmill import Failure, Keys, Message, NO_TIME, Permanent, Transform, Transient, testing


class Shout(Transform):
    def process(self, record, out):
        out.emit(record.with_value(record.text().upper()))


class Route(Transform):
    def open(self, setup):
        self.least = setup.settings(large_from=100)["large-from"]
        self.large = setup.output("large", Keys.KEPT)
        setup.main_output(Keys.KEPT)
        self.amounts = setup.histogram("amounts", "euros")

    def process(self, record, out):
        if record.value == b"again":
            raise Transient("try later")
        amount = record.json()["amount"]
        self.amounts.observe(amount)
        out.emit_to(self.large if amount >= self.least else MAIN, record)


class MainPort:
    index = 0


MAIN = MainPort()


class Odd(Transform):
    def process(self, record, out):
        out.emit(record)
        if record.value == b"boom":
            self.explode(record)
        if record.value == b"fail":
            raise Failure("refused")
        out.emit(record.with_header("a", "1").with_header("b", None).with_key("k").with_timestamp(3))
        out.emit(record.tombstone().without_headers())

    def explode(self, record):
        return {}["amount"]


class Rekey(Transform):
    def open(self, setup):
        setup.main_output(Keys.KEPT)

    def process(self, record, out):
        out.emit(record.with_key(record.value))


class TransformTest(unittest.TestCase):
    def test_what_is_left_alone_is_passed_on(self):
        odd = testing.transform(Odd)
        given = Message("v", NO_TIME, key="k0").with_header("h", "x").with_header("none", None)
        odd.send([given])
        changed = given.with_header("a", "1").with_header("b", None).with_key("k").with_timestamp(3)
        self.assertEqual(odd.take("main"), [given, changed, given.without_value().without_headers()])
        self.assertEqual(changed.headers, [("h", b"x"), ("none", None), ("a", b"1"), ("b", None)])

    def test_a_record_that_fails_leaves_nothing_and_says_where(self):
        odd = testing.transform(Odd)
        odd.send([Message("boom", 0), Message("fail", 1), Message("v", 2)])
        self.assertEqual(len(odd.take("main")), 3)
        boom, fail = odd.failures
        self.assertRegex(boom.reason, r"^KeyError: 'amount'; at test_transform.py:\d+ in explode < test_transform.py:\d+ in ")
        self.assertEqual((fail.reason, fail.record), ("refused", Message("fail", 1)))

    def test_what_is_no_text_is_a_failure(self):
        shout = testing.transform(Shout)
        shout.send([Message(b"\xff", 0), Message(None, 1), Message("größe", 2)])
        self.assertEqual(shout.take("main"), [Message("GRÖSSE", 2)])
        reasons = [failed.reason.split(":")[0] for failed in shout.failures]
        self.assertEqual(reasons, ["read the value as text", "the record has no value"])

    def test_settings_choose_ports(self):
        route = testing.transform(Route, {"large-from": 5})
        small, large = Message('{"amount": 4}', 0, key="a"), Message('{"amount": 5}', 1)
        route.send([small, large, Message("{", 2), Message("[]", 3)])
        self.assertEqual((route.take("main"), route.take("large")), ([small], [large]))
        self.assertEqual(route.observations("amounts"), [4.0, 5.0])
        self.assertTrue(route.failures[0].reason.startswith("parse the value as JSON: "), route.failures)
        for operator, settings in [(Route, {"large": 1}), (Shout, {"loud": True})]:
            with self.assertRaisesRegex(Permanent, "^read the settings: "):
                testing.transform(operator, settings)

    def test_a_transient_error_is_that_of_the_call(self):
        route = testing.transform(Route)
        with self.assertRaisesRegex(Transient, "try later"):
            route.send([Message('{"amount": 4}', 0), Message("again", 1)])
        self.assertEqual((route.take("main"), route.failures), ([], []))

    def test_keys_that_are_to_be_kept_are(self):
        rekey = testing.transform(Rekey)
        rekey.send([Message("k", 0, key="k")])
        with self.assertRaisesRegex(Permanent, "keep keys"):
            rekey.send([Message("other", 0, key="k")])


if __name__ == "__main__":
    unittest.main()
