"""Records on their way out."""

import json

from . import headers as _headers
from .errors import Failure

KEPT = object()
"""Stands for a part that is the record's own: it is passed on without a copy."""


def to_bytes(part):
    """The bytes of a key, a value or a header: text or bytes."""
    if type(part) is bytes:
        return part
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    raise TypeError(f"a key, a value or a header is str or bytes, not {type(part).__name__}")


class Message:
    """A record that the operator emits, or that a test feeds to one.

    It is mostly made of a `Record`: the parts that are left as they were are then passed on without a copy. The `with_…`
    methods leave the message as it is and return another.
    """

    __slots__ = ("_record", "_key", "_value", "_headers", "timestamp")

    def __init__(self, value, timestamp, key=None):
        self._record = None
        self._key = None if key is None else to_bytes(key)
        self._value = None if value is None else to_bytes(value)
        self._headers = None
        self.timestamp = timestamp

    @classmethod
    def _of(cls, record, key=KEPT, value=KEPT, headers=KEPT):
        made = cls.__new__(cls)
        made._record, made._key, made._value, made._headers = record, key, value, headers
        made.timestamp = record.timestamp
        return made

    def _copy(self):
        made = Message.__new__(Message)
        made._record, made._key, made._value, made._headers = self._record, self._key, self._value, self._headers
        made.timestamp = self.timestamp
        return made

    @property
    def key(self):
        """The key, if there is one."""
        return self._record.key if self._key is KEPT else self._key

    @property
    def value(self):
        """The value; `None` in a tombstone."""
        return self._record.value if self._value is KEPT else self._value

    @property
    def headers(self):
        """The headers, in order: names, and values that may be `None`."""
        encoded = self._encoded_headers()
        return [] if encoded is None else _headers.parse(encoded)

    def _encoded_headers(self):
        return self._record._encoded_headers() if self._headers is KEPT else self._headers

    def with_key(self, key):
        """With this key: text or bytes."""
        made = self._copy()
        made._key = to_bytes(key)
        return made

    def without_key(self):
        """Without a key."""
        made = self._copy()
        made._key = None
        return made

    def with_value(self, value):
        """With this value: text or bytes."""
        made = self._copy()
        made._value = to_bytes(value)
        return made

    def with_json(self, value):
        """With this value, written as JSON."""
        return self.with_value(write_json(value))

    def without_value(self):
        """With its value absent: where a topic is read as a table, it deletes the key."""
        made = self._copy()
        made._value = None
        return made

    def with_header(self, name, value):
        """With one more header, behind those that are there."""
        made = self._copy()
        made._headers = _headers.push(self._encoded_headers(), name, None if value is None else to_bytes(value))
        return made

    def without_headers(self):
        """Without headers."""
        made = self._copy()
        made._headers = None
        return made

    def with_timestamp(self, timestamp):
        """With this event time."""
        made = self._copy()
        made.timestamp = timestamp
        return made

    def _parts(self):
        return self.key, self.value, self.headers, self.timestamp

    def __eq__(self, other):
        return isinstance(other, Message) and self._parts() == other._parts()

    def __repr__(self):
        return f"Message(key={self.key!r}, value={self.value!r}, headers={self.headers!r}, timestamp={self.timestamp})"


def write_json(value):
    """The text of a value as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Failure(f"write JSON: {error}") from error
