"""The exports of a component, over the classes that operators derive from. `component` and `testing` use it."""

from .call import Call
from .context import Context
from .errors import Permanent, Transient, reason
from .output import Output
from .record import Record
from .setup import Setup
from .state import Cells
from .timer import Timer


class Guest:
    """One operator, once it is open."""

    def __init__(self, operator, settings):
        self.operator = operator()
        self.setup = Setup(settings)
        self.operator.open(self.setup)
        self.setup.finish()
        self._buffers = self.setup.buffers()
        self._prefetched = self.setup.prefetched()

    def transform(self, info, timestamps, spans, data):
        """Answers `transformer.process`: the failures. What a failed record emitted is taken back."""
        out, process, failures = self._output(info), self.operator.process, []
        for index, timestamp in enumerate(timestamps):
            record = Record(data, spans, index, timestamp)
            out._begin(record)
            try:
                process(record, out)
            except (Transient, Permanent):
                raise
            except Exception as error:
                failures.append((index, reason(error)))
                out._roll_back()
            else:
                out._settle()
        out._finish()
        return failures

    def process(self, info, timestamps, spans, data, slot_of, cells):
        """Answers `processor.process`: the failures, or else the changed cells."""
        return self._each(info, timestamps, spans, data, slot_of, cells, self.operator.process)

    def on_timers(self, info, domain, timestamps, spans, data, slot_of, cells):
        """Answers `processor.on-timers`, as `process` does."""
        def on_timer(record, cx):
            self.operator.on_timer(Timer(domain, record), cx)

        return self._each(info, timestamps, spans, data, slot_of, cells, on_timer)

    def _each(self, info, timestamps, spans, data, slot_of, cells, handle):
        out = self._output(info)
        cells = Cells(*cells, self._prefetched)
        cx = Context(out, cells)
        failures = []
        # What a record changed before it failed is still there, so later records of its key are left to the call that the
        # host makes again.
        spoilt = set()
        for index, (timestamp, slot) in enumerate(zip(timestamps, slot_of)):
            if slot in spoilt:
                continue
            record = Record(data, spans, index, timestamp)
            cx._begin(record, slot)
            try:
                handle(record, cx)
            except (Transient, Permanent):
                raise
            except Exception as error:
                failures.append((index, reason(error)))
                out._roll_back()
                if cx._changed:
                    spoilt.add(slot)
            else:
                out._settle()
        if failures:
            return failures, {}
        out._finish()
        cx._alarms.finish()
        return failures, cells.changed

    def _output(self, info):
        for buffer in self._buffers:
            buffer.clear()
        return Output(self._buffers, Call(*info))
