"""What an operator emits."""

from . import host
from .errors import Permanent
from .message import KEPT, Message
from .record import Record

_FLUSH_BYTES = 1 << 20
"""A buffer is handed to the host when it passes this many bytes, at the latest at the end of the call."""

_OF_INPUT = -(1 << 31)
"""The sign bit of an offset: it counts in the data that the call was given."""

_ABSENT = (0, -1)


class Port:
    """An output of the operator other than the main one, made by `Setup.output`."""

    __slots__ = ("index",)

    def __init__(self, index):
        self.index = index


class Output:
    """What a call emits so far."""

    __slots__ = ("_buffers", "_record", "call")

    def __init__(self, buffers, call):
        self._buffers = buffers
        self._record = None
        self.call = call
        """The call that the record came by."""

    def emit(self, message):
        """Emits to the main output. A `Record` is passed on as it is.

        It is a permanent error to emit another key than the record's own to an output that is declared to keep keys.
        """
        self._buffers[0].push(message, self._record)

    def emit_to(self, port, message):
        """Emits to a named output, as `emit` does to the main one."""
        self._buffers[port.index].push(message, self._record)

    def _begin(self, record):
        """From here on everything emitted comes from this record."""
        self._record = record
        for buffer in self._buffers:
            buffer.mark()

    def _settle(self):
        """The record at hand is done: its output stays."""
        for buffer in self._buffers:
            if len(buffer.data) > _FLUSH_BYTES:
                buffer.flush()

    def _roll_back(self):
        """Takes back what the record at hand emitted."""
        for buffer in self._buffers:
            buffer.roll_back()

    def _finish(self):
        """Hands everything to the host."""
        for buffer in self._buffers:
            buffer.flush()


class Buffer:
    """The columns of one output."""

    __slots__ = ("port", "name", "keeps_keys", "timestamps", "spans", "data", "origins", "marked")

    def __init__(self, port, name, keeps_keys):
        self.port, self.name, self.keeps_keys = port, name, keeps_keys
        self.clear()

    def clear(self):
        self.timestamps, self.spans, self.data, self.origins = [], [], bytearray(), []
        self.mark()

    def mark(self):
        self.marked = (len(self.origins), len(self.data))

    def roll_back(self):
        records, size = self.marked
        del self.timestamps[records:], self.spans[6 * records:], self.data[size:], self.origins[records:]

    def push(self, message, record):
        if type(message) is Record:
            message = Message._of(message)
        elif type(message) is not Message:
            raise TypeError(f"what is emitted is a Record or a Message, not {type(message).__name__}")
        source = message._record
        if source is not None and source._data is not record._data:
            # A record of an earlier call: its bytes are not in the input any more.
            source = None
        own_key = message._key is KEPT and source is record
        if self.keeps_keys and not own_key and message.key != record.key:
            raise Permanent(f"output `{self.name}` is declared to keep keys, but was given another one")
        self._span(message._key, message, source, 0)
        self._span(message._value, message, source, 2)
        self._span(message._headers, message, source, 4)
        self.timestamps.append(message.timestamp)
        self.origins.append(record.index)

    def _span(self, part, message, source, at):
        if part is KEPT:
            if source is not None:
                at += source._at
                offset, length = source._spans[at], source._spans[at + 1]
                self.spans += _ABSENT if length < 0 else (offset | _OF_INPUT, length)
                return
            part = message._record._part(at)
        if part is None:
            self.spans += _ABSENT
        else:
            self.spans += (len(self.data), len(part))
            self.data += part

    def flush(self):
        if self.origins:
            host.imports.emit(self.port, self.timestamps, self.spans, bytes(self.data), self.origins)
            self.clear()
