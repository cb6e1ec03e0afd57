"""What a keyed operator works with while it handles a record or a timer."""

from .message import to_bytes
from .timer import Alarms
from .timestamp import NO_TIME


class Context:
    """The place of the record or timer at hand: its key, with the key's state and timers, and the output.

    State is read and written through the handles that `Setup.state` made; they take the context and reach the state of
    its key only.
    """

    __slots__ = ("_out", "_cells", "_alarms", "_slot", "_changed", "key")

    def __init__(self, out, cells):
        self._out, self._cells, self._alarms = out, cells, Alarms()
        self._slot, self._changed = 0, False
        self.key = b""
        """The key of the record or timer at hand."""

    @property
    def call(self):
        """The call that it came by."""
        return self._out.call

    def emit(self, message):
        """Emits to the main output, as `Output.emit` does."""
        self._out.emit(message)

    def emit_to(self, port, message):
        """Emits to a named output, as `Output.emit` does."""
        self._out.emit_to(port, message)

    def set_timer(self, domain, name, at):
        """Sets the key's timer of this domain and name, or moves it if it is set. One set at or before the watermark fires
        after the next records."""
        self._changed = True
        self._alarms.set(domain, self.key, to_bytes(name), at)

    def cancel_timer(self, domain, name):
        """Takes the key's timer of this domain and name back, if it is set."""
        self.set_timer(domain, name, NO_TIME)

    def _begin(self, record, slot):
        self._out._begin(record)
        self.key = record.key or b""
        self._slot, self._changed = slot, False
