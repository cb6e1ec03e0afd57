"""Timers: they belong to a key, have a name, survive crashes and fire once."""

from enum import Enum

from . import host
from .record import Record


class Domain(Enum):
    """The clock that a timer goes by."""

    EVENT_TIME = 0
    """Fires when the watermark reaches its time."""
    PROCESSING_TIME = 1
    """Fires when the host's clock reaches its time."""


class Timer:
    """A timer that came due."""

    __slots__ = ("domain", "_record")

    def __init__(self, domain, record):
        self.domain = domain
        """The clock that it went by."""
        self._record = record

    @property
    def key(self):
        """The key that it belongs to."""
        return self._record.key or b""

    @property
    def name(self):
        """Its name."""
        return self._record.value or b""

    @property
    def at(self):
        """The time that it was set for."""
        return self._record.timestamp

    @property
    def record(self):
        """A record to emit from: the timer's key and time, no value and no headers."""
        timer = self._record
        spans = timer._spans[timer._at:timer._at + 2] + [0, -1, 0, -1]
        record = Record(timer._data, spans, 0, timer.timestamp)
        record.index = timer.index
        return record


class Alarms:
    """The timers set and cancelled in a call, in order; they reach the host together."""

    def __init__(self):
        self._changes = {}

    def set(self, domain, key, name, at):
        """Sets a timer, or cancels it where `at` is `NO_TIME`."""
        if domain not in self._changes:
            self._changes[domain] = ([], bytearray(), [])
        spans, data, times = self._changes[domain]
        for part in (key, name):
            spans += (len(data), len(part))
            data += part
        times.append(at)

    def finish(self):
        for domain in Domain:
            if domain in self._changes:
                spans, data, times = self._changes[domain]
                host.imports.set_timers(domain, spans, bytes(data), times)
