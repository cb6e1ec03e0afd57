"""Keyed state, declared by `Setup.state`.

Handles take the context and reach the state of its key only. What is written is stored with the output of the call, or not
at all. A stored value is one byte, the version of its encoding, and the bytes of the value; the handles add the byte, and
take it off again.
"""

from . import host
from .errors import Permanent
from .message import to_bytes

_ALL = (1 << 32) - 1


class Declared:
    """What a handle knows of its state."""

    __slots__ = ("name", "value", "encoding", "older", "prefix")

    def __init__(self, name, value, encoding, older):
        self.name, self.value, self.encoding, self.older = name, value, encoding, older
        self.prefix = bytes((encoding,))

    def read(self, stored):
        if not stored:
            raise Permanent(f"read a value of state `{self.name}`: it has no encoding")
        encoding, stored_value = stored[0], stored[1:]
        if encoding == self.encoding:
            return self.value.decode(stored_value)
        if self.older is None:
            raise Permanent(
                f"read a value of state `{self.name}`: it is in encoding {encoding}, not in {self.encoding}"
            )
        return self.older(encoding, stored_value)

    def write(self, value):
        return self.prefix + self.value.encode(value)


class Single:
    """One value for each key."""

    __slots__ = ("_declared", "_get", "_put")

    def __init__(self, declared, prefetched, index):
        self._declared = declared
        if prefetched:
            self._get = lambda cx: cx._cells.get(cx._slot, index)
            self._put = lambda cx, stored: cx._cells.put(cx._slot, index, stored)
        else:
            self._get = lambda cx: host.imports.get(index, cx.key, b"")
            self._put = lambda cx, stored: _put(index, cx.key, stored)

    def get(self, cx):
        """The value of the context's key, with what this call wrote; `None` where nothing is stored."""
        stored = self._get(cx)
        return None if stored is None else self._declared.read(stored)

    def put(self, cx, value):
        """Stores a value for the context's key."""
        cx._changed = True
        self._put(cx, self._declared.write(value))

    def update(self, cx, change):
        """Stores what `change` makes of the value of the context's key (`None` where nothing is stored), and returns it."""
        value = change(self.get(cx))
        self.put(cx, value)
        return value

    def delete(self, cx):
        """Forgets the value of the context's key."""
        cx._changed = True
        self._put(cx, None)


def _put(index, key, stored):
    if stored is None:
        host.imports.delete(index, key, b"")
    else:
        host.imports.put(index, key, b"", stored)


class Fields:
    """A range of fields in the order of their bytes: from `start`, which is among them, to `end`, which is not."""

    __slots__ = ("start", "end")

    def __init__(self, start=b"", end=None):
        self.start, self.end = to_bytes(start), None if end is None else to_bytes(end)


_ALL_FIELDS = Fields()


class OrderedMap:
    """An ordered map from fields to values for each key. Its order is that of the fields' bytes, so numbers in fields are
    best written big-endian."""

    __slots__ = ("_declared", "_index")

    def __init__(self, declared, index):
        self._declared, self._index = declared, index

    def get(self, cx, field):
        """The value of a field, with what this call wrote; `None` where nothing is stored."""
        stored = host.imports.get(self._index, cx.key, to_bytes(field))
        return None if stored is None else self._declared.read(stored)

    def put(self, cx, field, value):
        """Stores a value for a field."""
        cx._changed = True
        host.imports.put(self._index, cx.key, to_bytes(field), self._declared.write(value))

    def delete(self, cx, field):
        """Forgets the value of a field."""
        cx._changed = True
        host.imports.delete(self._index, cx.key, to_bytes(field))

    def scan(self, cx, fields=_ALL_FIELDS, limit=_ALL):
        """The fields of a range with their values, in order from the first, at most `limit` of them."""
        return self._entries(cx, fields, limit, False)

    def scan_reverse(self, cx, fields=_ALL_FIELDS, limit=_ALL):
        """The fields of a range with their values, in order from the last, at most `limit` of them."""
        return self._entries(cx, fields, limit, True)

    def delete_range(self, cx, fields=_ALL_FIELDS):
        """Forgets the values of all fields of a range."""
        cx._changed = True
        host.imports.delete_range(self._index, cx.key, fields.start, fields.end)

    def _entries(self, cx, fields, limit, reverse):
        spans, data = host.imports.scan(self._index, cx.key, fields.start, fields.end, limit, reverse)
        parts = [data[spans[at]:spans[at] + spans[at + 1]] for at in range(0, len(spans), 2)]
        return [(field, self._declared.read(stored)) for field, stored in zip(parts[::2], parts[1::2])]


class Cells:
    """The prefetched states of a call: a cell for each slot and state, and what became of them."""

    __slots__ = ("_spans", "_data", "_states", "changed")

    def __init__(self, spans, data, states):
        self._spans, self._data, self._states, self.changed = spans, data, states, {}

    def get(self, slot, state):
        cell = slot * self._states + state
        if cell in self.changed:
            return self.changed[cell]
        offset, length = self._spans[2 * cell], self._spans[2 * cell + 1]
        return None if length < 0 else self._data[offset:offset + length]

    def put(self, slot, state, stored):
        self.changed[slot * self._states + state] = stored
