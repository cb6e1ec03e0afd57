"""Metrics of the operator's own, declared in `Setup`. They count in calls that take effect only."""

from . import host


class Counter:
    """A sum that only grows."""

    __slots__ = ("_index",)

    def __init__(self, index):
        self._index = index

    def add(self, delta=1):
        """Adds to it."""
        host.imports.add(self._index, delta)


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_index",)

    def __init__(self, index):
        self._index = index

    def set(self, value):
        """Sets it."""
        host.imports.set(self._index, float(value))


class Histogram:
    """A distribution of observed numbers."""

    __slots__ = ("_index",)

    def __init__(self, index):
        self._index = index

    def observe(self, value):
        """Adds an observation."""
        host.imports.observe(self._index, float(value))
