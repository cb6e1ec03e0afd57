"""Write Wasmill operators in Python.

An operator is given records in batches, and what it emits, stores and sets takes effect with the records' offsets: all of
it once, or none of it. A stateless one is a `Transform`, a keyed one a `Process`; `export` makes its module a plugin:

    from wasmill import Transform, export

    class Split(Transform):
        def process(self, record, out):
            for word in record.text().split():
                out.emit(record.with_key(word))

    export(Split)

Any exception of `process` makes the record at hand a dead letter that names the exception with its file and line, and the
others go on. `Failure` says a reason of its own; `Transient` has the whole call made again after a pause.
"""

from . import log
from .call import Call
from .context import Context
from .errors import Failure, Permanent, Transient
from .log import Level
from .message import Message
from .metric import Counter, Gauge, Histogram
from .operator import Process, Transform, export
from .output import Output, Port
from .record import Record
from .setup import Input, Keys, Setup
from .state import Fields, OrderedMap, Single
from .timer import Domain, Timer
from .timestamp import NO_TIME
from .values import (
    BOOL, BYTES, F32, F64, I8, I16, I32, I64, JSON, TEXT, TIMESTAMP, U8, U16, U32, U64, Value,
)

__all__ = [
    "BOOL", "BYTES", "Call", "Context", "Counter", "Domain", "F32", "F64", "Failure", "Fields", "Gauge", "Histogram", "I8",
    "I16", "I32", "I64", "Input", "JSON", "Keys", "Level", "Message", "NO_TIME", "OrderedMap", "Output", "Permanent", "Port",
    "Process", "Record", "Setup", "Single", "TEXT", "TIMESTAMP", "Timer", "Transform", "Transient", "U8", "U16", "U32", "U64",
    "Value", "export", "log",
]
