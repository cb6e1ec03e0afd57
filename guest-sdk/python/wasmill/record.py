"""Records on their way in."""

import json

from . import headers as _headers
from .errors import Failure
from .message import Message, to_bytes

_UNREAD = object()


class Record:
    """A record that the operator was given.

    The `with_…` methods make a `Message` of it for `Output.emit`; what they leave alone is passed on.
    """

    __slots__ = ("_data", "_spans", "_at", "_key", "_value", "timestamp", "index")

    def __init__(self, data, spans, index, timestamp):
        self._data, self._spans, self._at = data, spans, 6 * index
        self._key = self._value = _UNREAD
        self.timestamp = timestamp
        """The event time in milliseconds; `NO_TIME` where the record has none."""
        self.index = index
        """Its place in the call."""

    def _part(self, at):
        at += self._at
        offset, length = self._spans[at], self._spans[at + 1]
        return None if length < 0 else self._data[offset:offset + length]

    @property
    def key(self):
        """The key, if the record has one. In a keyed operator it always has."""
        if self._key is _UNREAD:
            self._key = self._part(0)
        return self._key

    @property
    def value(self):
        """The value; `None` in a tombstone."""
        if self._value is _UNREAD:
            self._value = self._part(2)
        return self._value

    def _encoded_headers(self):
        return self._part(4)

    @property
    def headers(self):
        """The headers, in order: names, and values that may be `None`."""
        encoded = self._part(4)
        return [] if encoded is None else _headers.parse(encoded)

    def header(self, name):
        """The value of the last header of this name, if it has one."""
        found = [value for other, value in self.headers if other == name]
        return found[-1] if found else None

    def key_text(self):
        """The key as text. A key that is absent or not UTF-8 is a failure."""
        key = self.key
        if key is None:
            raise Failure("the record has no key")
        return _text(key, "key")

    def text(self):
        """The value as text. A value that is absent or not UTF-8 is a failure."""
        return _text(self._present(), "value")

    def json(self):
        """The value, parsed as JSON. A value that is absent or does not parse is a failure."""
        value = self._present()
        try:
            return json.loads(_text(value, "value"))
        except (ValueError, RecursionError) as error:
            raise Failure(f"parse the value as JSON: {error}") from error

    def _present(self):
        value = self.value
        if value is None:
            raise Failure("the record has no value")
        return value

    def with_key(self, key):
        """The record with another key: text or bytes."""
        return Message._of(self, key=to_bytes(key))

    def without_key(self):
        """The record without a key."""
        return Message._of(self, key=None)

    def with_value(self, value):
        """The record with another value: text or bytes."""
        return Message._of(self, value=to_bytes(value))

    def with_json(self, value):
        """The record with another value, written as JSON."""
        return Message._of(self).with_json(value)

    def tombstone(self):
        """The record with its value absent: where a topic is read as a table, it deletes the key."""
        return Message._of(self, value=None)

    def with_header(self, name, value):
        """The record with one more header."""
        return Message._of(self).with_header(name, value)

    def without_headers(self):
        """The record without headers."""
        return Message._of(self, headers=None)

    def with_timestamp(self, timestamp):
        """The record with another event time."""
        return Message._of(self).with_timestamp(timestamp)

    def __repr__(self):
        return f"Record(key={self.key!r}, value={self.value!r}, headers={self.headers!r}, timestamp={self.timestamp})"


def _text(part, noun):
    try:
        return str(part, "utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"read the {noun} as text: {error}") from error
