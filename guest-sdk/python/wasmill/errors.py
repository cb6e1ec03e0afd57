"""What can go wrong, sorted by what the host does about it."""

import os

_SDK = os.path.dirname(__file__)
# The standard library of the interpreter at hand: where one of its modules is.
_LIBRARY = os.path.dirname(os.__file__)
_MOST_PLACES = 6


class Failure(Exception):
    """This record can not be handled; the others of the call are not concerned. It goes to the dead-letter topic with this
    reason, or where the pipeline's `on-error` says. Every other exception does the same, with its place as the reason."""


class Transient(Exception):
    """The call may work later: nothing of it takes effect, and it is made again after a pause (`retry`)."""


class Permanent(Exception):
    """The call will not work: nothing of it takes effect, and `on-error` decides."""


def reason(error):
    """What the person who reads the dead letter is told: the message, and where it came from if nobody chose the words."""
    if isinstance(error, (Failure, Transient, Permanent)):
        return str(error)
    text = str(error)
    name = type(error).__name__
    said = f"{name}: {text}" if text else name
    at = places(error)
    return f"{said}; at {' < '.join(at)}" if at else said


def places(error):
    """File, line and function of the operator's own frames, innermost first.

    The `traceback` module would look for the source files, and in a component there are none to open.
    """
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code, trace.tb_lineno))
        trace = trace.tb_next
    own = [frame for frame in frames if not frame[0].co_filename.startswith((_SDK, _LIBRARY, "<"))]
    named = [f"{_short(code.co_filename)}:{line} in {code.co_name}" for code, line in reversed(own or frames[-1:])]
    return named[:_MOST_PLACES]


def _short(path):
    """The path below the directory that the component was built from, which is mounted as /0, /1 and so on."""
    _, _, below = path.partition("/")
    mount, _, rest = below.partition("/")
    return rest if mount.isdigit() and rest else os.path.basename(path)
