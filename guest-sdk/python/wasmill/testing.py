"""A host in memory, to test operators natively: records in, time moved by hand, and outputs, state, failures, logs and metrics
to look at.

    from wasmill import Message, testing

    count = testing.process(Count)
    count.send([Message("", 7, key="a")])
    assert count.take("main") == [Message("1", 7, key="a")]
"""

import copy
import json

from . import host
from .errors import Failure, Permanent, Transient
from .guest import Guest
from .log import Level
from .message import Message
from .timer import Domain
from .timestamp import NO_TIME

__all__ = ["Failed", "Harness", "process", "transform"]


def transform(operator, settings=None):
    """Opens a stateless operator with its settings, a dictionary."""
    return Harness(operator, settings, keyed=False)


def process(operator, settings=None):
    """Opens a keyed operator with its settings, a dictionary."""
    return Harness(operator, settings, keyed=True)


class Failed:
    """A record that the operator could not handle, and why."""

    def __init__(self, record, reason):
        self.record, self.reason = record, reason

    def __repr__(self):
        return f"Failed({self.record!r}, {self.reason!r})"


class _Effects:
    """What calls have left so far. A call works on a copy, which stays if the call does."""

    def __init__(self):
        # Outputs by port; rows by state, key and field; times by domain, key and name.
        self.outputs, self.rows, self.timers = {}, {}, {}
        self.counters, self.gauges, self.observations = {}, {}, {}


class Harness:
    """An operator, and the host around it. Made by `transform` or `process`.

    Asking for an output, a state or a metric that the operator did not declare is a `KeyError`; an operator that breaks the
    contract with the host fails an assertion.
    """

    def __init__(self, operator, settings, keyed):
        self._operator, self._settings, self._keyed = operator, json.dumps(settings or {}), keyed
        self._effects, self._call = _Effects(), None
        self._input = self._sequence = self._offset = self._processing_time = 0
        self._watermark = NO_TIME
        self.failures = []
        """The records that the operator could not handle."""
        self.lines = []
        """The lines of the log, as pairs of level and text; those of calls without effects too."""
        self.reopen()

    def reopen(self):
        """Replaces the instance by a new one, as the host may between any two calls: what lasts is what is in state."""
        host.imports = self
        try:
            self._guest = Guest(self._operator, self._settings)
        except (Transient, Permanent):
            raise
        except Failure as error:
            raise Permanent(str(error)) from error
        self._setup = self._guest.setup

    def send(self, records, input=None):
        """Gives records to the operator by its first input or by a named one, in one call; then fires the timers that are due.
        In a keyed operator a record without a key fails.

        A `Transient` or `Permanent` error is raised, and the call has no effects.
        """
        self._input = 0 if input is None else self._setup.inputs.index(input)
        records = list(records)
        keyless = [record for record in records if self._keyed and record.key is None]
        self._run(None, [record for record in records if not self._keyed or record.key is not None])
        self.failures += [Failed(record, "the record has no key") for record in keyless]
        self._fire(Domain.EVENT_TIME, self._watermark)
        self._fire(Domain.PROCESSING_TIME, self._processing_time)

    def advance_watermark(self, to):
        """Moves the watermark on and fires the event-time timers that are due, in order of time, key and name."""
        self._watermark = max(self._watermark, to)
        self._fire(Domain.EVENT_TIME, self._watermark)

    def advance_processing_time(self, to):
        """Moves the host's clock on, which begins at 0, and fires the processing-time timers that are due."""
        self._processing_time = max(self._processing_time, to)
        self._fire(Domain.PROCESSING_TIME, self._processing_time)

    def take(self, output):
        """Takes what was emitted to an output since it was last taken. The main one is `main`."""
        return self._effects.outputs.pop(_index(output, [name for name, _ in self._setup.outputs]), [])

    def state(self, name, key):
        """The value of a key in a state with one value for each key; `None` where nothing is stored."""
        index, declared = self._state(name)
        stored = self._effects.rows.get((index, _bytes(key), b""))
        return None if stored is None else _decode(declared, stored)

    def map(self, name, key):
        """The fields and values of a key in an ordered map, in order."""
        index, declared = self._state(name)
        rows = _fields(self._effects.rows, index, _bytes(key), b"", None)
        return [(field, _decode(declared, stored)) for field, stored in rows]

    def store(self, name, key, encoding, stored):
        """Stores bytes as an operator with another encoding did, to test how they are read."""
        self._effects.rows[self._state(name)[0], _bytes(key), b""] = bytes((encoding,)) + stored

    def timers(self):
        """The timers that are set, as domain, time, key and name, in the order in which they fire."""
        timers = [(domain, at, key, name) for (domain, key, name), at in self._effects.timers.items()]
        return sorted(timers, key=lambda timer: (timer[0].value, *timer[1:]))

    def counter(self, name):
        """The sum of a counter."""
        return self._effects.counters.get(self._metric(name), 0)

    def gauge(self, name):
        """The number that a gauge was last set to, if it was."""
        return self._effects.gauges.get(self._metric(name))

    def observations(self, name):
        """The observations of a histogram, in order."""
        return self._effects.observations.get(self._metric(name), [])

    def _state(self, name):
        index = _index(name, [state.name for state in self._setup.states])
        return index, self._setup.states[index]

    def _metric(self, name):
        return _index(name, [name for name, _, _ in self._setup.metrics])

    def _fire(self, domain, now):
        # One at a time: a timer may cancel or move a later one.
        due = [timer for timer in self.timers() if timer[0] is domain and timer[1] <= now]
        for _, at, key, name in due:
            if self._effects.timers.get((domain, key, name)) != at:
                continue
            del self._effects.timers[domain, key, name]
            try:
                self._run(domain, [Message(name, at, key=key)])
            except (Transient, Permanent):
                self._effects.timers[domain, key, name] = at
                raise

    def _run(self, domain, records):
        """Makes one call, again without the records that failed if it is keyed, until its effects can stay."""
        offsets = list(range(self._offset, self._offset + len(records)))
        self._offset += len(records)
        while records:
            call = _Call(records, offsets, copy.deepcopy(self._effects))
            failures = self._attempt(domain, call)
            failed = {index for index, _ in failures}
            self.failures += [Failed(records[index], reason) for index, reason in failures]
            if not (self._keyed and failed):
                assert not failed.intersection(call.origins), "a record that fails emits nothing"
                self._effects = call.effects
                break
            left = [index for index in range(len(records)) if index not in failed]
            records, offsets = [records[index] for index in left], [offsets[index] for index in left]
        self._sequence += 1

    def _attempt(self, domain, call):
        host.imports, self._call = self, call
        info = (self._input, 0, self._sequence, self._watermark, self._processing_time)
        columns = call.columns()
        try:
            if not self._keyed:
                return self._guest.transform(info, *columns)
            prefetched = [index for index, state in enumerate(self._setup.states) if state.prefetch]
            keys = list(dict.fromkeys(record.key for record in call.records))
            slot_of = [keys.index(record.key) for record in call.records]
            cells = _columns(call.effects.rows.get((index, key, b"")) for key in keys for index in prefetched)
            if domain is None:
                failures, changed = self._guest.process(info, *columns, slot_of, cells)
            else:
                failures, changed = self._guest.on_timers(info, domain, *columns, slot_of, cells)
        finally:
            self._call = None
        for cell, stored in changed.items():
            _write(call.effects.rows, prefetched[cell % len(prefetched)], keys[cell // len(prefetched)], b"", stored)
        return failures

    # What follows are the imports.

    def _during(self):
        assert self._call is not None, "the host is asked in a call only"
        return self._call

    def _rows(self, index, key):
        call = self._during()
        assert any(record.key == key for record in call.records), "the key is one of the call's records"
        assert not self._setup.states[index].prefetch, "a prefetched state is not asked for"
        return call.effects.rows

    def emit(self, port, timestamps, spans, data, origins):
        call = self._during()
        assert len(timestamps) == len(origins) and len(spans) == 6 * len(origins)
        assert origins == sorted(origins), "origins never fall"
        call.origins += origins
        given = call.columns()[2]

        def part(at):
            offset, length = spans[at], spans[at + 1]
            bytes_of, offset = (given, offset + (1 << 31)) if offset < 0 else (data, offset)
            return None if length < 0 else bytes_of[offset:offset + length]

        for index, timestamp in enumerate(timestamps):
            message = Message(part(6 * index + 2), timestamp, key=part(6 * index))
            message._headers = part(6 * index + 4)
            call.effects.outputs.setdefault(port, []).append(message)

    def get(self, index, key, field):
        return self._rows(index, key).get((index, key, field))

    def put(self, index, key, field, stored):
        _write(self._rows(index, key), index, key, field, stored)

    def delete(self, index, key, field):
        _write(self._rows(index, key), index, key, field, None)

    def scan(self, index, key, start, end, limit, reverse):
        found = _fields(self._rows(index, key), index, key, start, end)
        found = (found[::-1] if reverse else found)[:limit]
        return _columns(part for pair in found for part in pair)

    def delete_range(self, index, key, start, end):
        rows = self._rows(index, key)
        for field, _ in _fields(rows, index, key, start, end):
            del rows[index, key, field]

    def set_timers(self, domain, spans, data, at):
        parts = [data[spans[place]:spans[place] + spans[place + 1]] for place in range(0, len(spans), 2)]
        timers = self._during().effects.timers
        for key, name, time in zip(parts[::2], parts[1::2], at):
            if time == NO_TIME:
                timers.pop((domain, key, name), None)
            else:
                timers[domain, key, name] = time

    def topic(self):
        return "test"

    def offsets(self):
        return self._during().offsets

    def watermarks(self):
        return [self._watermark] * len(self._during().records)

    def add(self, metric, delta):
        counters = self._during().effects.counters
        counters[metric] = counters.get(metric, 0) + delta

    def set(self, metric, value):
        self._during().effects.gauges[metric] = value

    def observe(self, metric, value):
        self._during().effects.observations.setdefault(metric, []).append(value)

    def enabled(self, level):
        return True

    def log(self, level, message):
        self.lines.append((Level(level), message))


class _Call:
    def __init__(self, records, offsets, effects):
        self.records, self.offsets, self.effects, self.origins = records, offsets, effects, []
        self._columns = None

    def columns(self):
        if self._columns is None:
            headers = [record._encoded_headers() for record in self.records]
            parts = zip((record.key for record in self.records), (record.value for record in self.records), headers)
            spans, data = _columns(part for record in parts for part in record)
            self._columns = [record.timestamp for record in self.records], spans, data
        return self._columns


def _columns(parts):
    spans, data = [], bytearray()
    for part in parts:
        spans += (0, -1) if part is None else (len(data), len(part))
        data += part or b""
    return spans, bytes(data)


def _fields(rows, index, key, start, end):
    found = [(field, stored) for (state, other, field), stored in rows.items() if state == index and other == key]
    return sorted(pair for pair in found if start <= pair[0] and (end is None or pair[0] < end))


def _write(rows, index, key, field, stored):
    if stored is None:
        rows.pop((index, key, field), None)
    else:
        rows[index, key, field] = stored


def _decode(state, stored):
    assert stored[0] == state.encoding_version, f"state {state.name} is in encoding {stored[0]}"
    return state.value.decode(stored[1:])


def _bytes(key):
    return key.encode() if isinstance(key, str) else bytes(key)


def _index(name, names):
    if name not in names:
        raise KeyError(f"the operator declares no {name}, only {', '.join(names)}")
    return names.index(name)
