"""How operators come to be."""

import sys

from .errors import Permanent


class Operator:
    """What `Transform` and `Process` share."""

    def open(self, setup):
        """Reads the settings and declares states, outputs and metrics, once on each new instance. Any exception is permanent.
        An operator without it takes no settings."""
        if setup.settings():
            raise Permanent("read the settings: this operator takes none")


class Transform(Operator):
    """A stateless operator: one record in, any number out."""

    role = "transform"

    def process(self, record, out):
        """Handles one record. What it emits before an exception is taken back."""
        raise NotImplementedError


class Process(Operator):
    """A keyed operator, with state and timers. All records of a key come to one task, in order."""

    role = "process"

    def process(self, record, cx):
        """Handles one record. On an exception the host makes the call again without the record, so that it leaves nothing.

        What `self` remembers is a cache: the host may drop an instance between any two calls. What must last goes into state.
        """
        raise NotImplementedError

    def on_timer(self, timer, cx):
        """Handles a timer that came due. Without it timers fire and do nothing."""


class Exported:
    """The operator that a module exports, with its name and version for people."""

    def __init__(self, operator, name, version):
        self.operator, self.name, self.version = operator, name, version


_exported = None


def export(operator, name=None, version=None):
    """Makes the module a plugin: exports its operator, a class that derives from `Transform` or `Process`. Once in a plugin.

    Name and version, for people, are those of the module (its file, and `__version__`) unless they are given.
    """
    global _exported
    if not (isinstance(operator, type) and issubclass(operator, (Transform, Process))):
        raise TypeError("export takes a class that derives from Transform or Process")
    module = sys.modules.get(operator.__module__)
    name = name or operator.__module__.rpartition(".")[2]
    _exported = Exported(operator, name, version or getattr(module, "__version__", "0.1.0"))
    return operator


def exported():
    """The operator that the plugin exports."""
    if _exported is None:
        raise RuntimeError("there is no operator: end the module with `export(YourOperator)`")
    return _exported
