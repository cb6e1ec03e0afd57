"""What an operator declares when it opens."""

import json
from datetime import timedelta
from enum import Enum

from .errors import Permanent
from .metric import Counter, Gauge, Histogram
from .output import Buffer, Port
from .state import Declared, OrderedMap, Single


class Keys(Enum):
    """What an output does with the keys of records."""

    KEPT = True
    """Every record leaves with the key that it came with, so no repartitioning is needed behind the output. Emitting another
    key there is a permanent error."""
    CHANGED = False
    """Records may leave with other keys."""


class Input:
    """An input of the operator, made by `Setup.input`."""

    __slots__ = ("index",)

    def __init__(self, index):
        self.index = index

    def __eq__(self, other):
        return isinstance(other, Input) and self.index == other.index

    def __hash__(self):
        return self.index


class Setup:
    """Settings in, declarations out: what `open` is given.

    It is run on every new instance, and once more when a pipeline is deployed, to learn what the operator is. So it declares
    the same for the same settings, and does nothing else.
    """

    def __init__(self, settings):
        self._settings = settings
        self.inputs = []
        self.outputs = [["main", False]]
        self.states = []
        self.metrics = []

    def settings(self, **defaults):
        """The operator's `settings` in the pipeline file, as a dictionary. With keyword arguments they are the settings that
        there are, with their defaults: an unknown one is a permanent error, and so is one missing whose default is `...`."""
        try:
            found = json.loads(self._settings)
        except ValueError as error:
            raise Permanent(f"read the settings: {error}") from error
        if not defaults:
            return found
        known = {name.replace("_", "-"): default for name, default in defaults.items()}
        for name in found:
            if name not in known:
                raise Permanent(f"read the settings: there is no `{name}`, only {', '.join(known)}")
        merged = {**known, **found}
        for name, value in merged.items():
            if value is ...:
                raise Permanent(f"read the settings: `{name}` is missing")
        return merged

    def input(self, name):
        """Declares an input by name. An operator that declares none has one, `in`."""
        self.inputs.append(name)
        return Input(len(self.inputs) - 1)

    def main_output(self, keys):
        """Says what the main output does with keys. Without it they may change."""
        self.outputs[0][1] = keys.value

    def output(self, name, keys):
        """Declares an output besides the main one."""
        self.outputs.append([name, keys.value])
        return Port(len(self.outputs) - 1)

    def state(self, name, value):
        """Begins to declare a state with values of this type, such as `U64`, `TEXT` or `JSON`; the name ties what is stored to
        the code across versions. A stateless operator has no use for it."""
        return StateSetup(self, name, value)

    def counter(self, name, unit):
        """Declares a counter. `unit` is what one of it is, such as `orders` or `bytes`."""
        return Counter(self._metric(name, "counter", unit))

    def gauge(self, name, unit):
        """Declares a gauge."""
        return Gauge(self._metric(name, "gauge", unit))

    def histogram(self, name, unit):
        """Declares a histogram."""
        return Histogram(self._metric(name, "histogram", unit))

    def _metric(self, name, kind, unit):
        self.metrics.append((name, kind, unit))
        return len(self.metrics) - 1

    def finish(self):
        """Checks what was declared, once everything is."""
        self.inputs = self.inputs or ["in"]
        _unique("input", self.inputs)
        _unique("output", [name for name, _ in self.outputs])
        _unique("state", [state.name for state in self.states])
        _unique("metric", [name for name, _, _ in self.metrics])

    def buffers(self):
        """A buffer for each output."""
        return [Buffer(port, name, keeps_keys) for port, (name, keeps_keys) in enumerate(self.outputs)]

    def prefetched(self):
        """How many states are prefetched."""
        return sum(state.prefetch for state in self.states)


def _unique(noun, names):
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Permanent(f"declare {noun} `{name}`: there are two of that name")


class StateSetup:
    """A state being declared, by `Setup.state`."""

    def __init__(self, setup, name, value):
        self._setup, self.name, self.value = setup, name, value
        self.kind, self.prefetch, self.ttl_ms, self.encoding_version, self._older = "single", False, None, 1, None

    def ttl(self, ttl):
        """Forgets what was last written this long ago, in event time: a `timedelta`, or whole milliseconds."""
        self.ttl_ms = ttl // timedelta(milliseconds=1) if isinstance(ttl, timedelta) else int(ttl)
        return self

    def encoding(self, version):
        """The version of the values' encoding, 1 without it. Raise it when the bytes change their meaning; a reload to a lower
        one is refused. It is the first byte of every stored value."""
        self.encoding_version = version
        return self

    def older(self, read):
        """How values of other encodings are read, by version and bytes. Without it meeting one is a permanent error."""
        self._older = read
        return self

    def single(self):
        """One value for each key, read when it is asked for: for values that few records need."""
        index = len(self._setup.states)
        return Single(self._declare(), False, index)

    def prefetched(self):
        """One value for each key, fetched ahead for all keys of a call: for values that most records need."""
        index = self._setup.prefetched()
        self.prefetch = True
        return Single(self._declare(), True, index)

    def ordered_map(self):
        """An ordered map from fields to values for each key."""
        index = len(self._setup.states)
        self.kind = "ordered-map"
        return OrderedMap(self._declare(), index)

    def _declare(self):
        self._setup.states.append(self)
        return Declared(self.name, self.value, self.encoding_version, self._older)
