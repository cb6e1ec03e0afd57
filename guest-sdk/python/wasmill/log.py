"""The operator's log, which the host shows with the operator's name. `print` writes to it too, at `INFO`."""

from enum import IntEnum

from . import host


class Level(IntEnum):
    """How much a line matters."""

    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


def enabled(level):
    """Whether anybody listens at this level."""
    return host.imports.enabled(level)


def log(level, message):
    """Writes a line if anybody listens. Lines above the host's rate limit are dropped and counted."""
    if host.imports.enabled(level):
        host.imports.log(level, str(message))


def trace(message):
    """Logs a step."""
    log(Level.TRACE, message)


def debug(message):
    """Logs what helps to find a fault."""
    log(Level.DEBUG, message)


def info(message):
    """Logs what an operator wants to read."""
    log(Level.INFO, message)


def warn(message):
    """Logs what may go wrong."""
    log(Level.WARN, message)


def error(message):
    """Logs what went wrong."""
    log(Level.ERROR, message)


class Lines:
    """A file for `sys.stdout` and `sys.stderr`: whole lines go to the log."""

    encoding, errors = "utf-8", "strict"

    def __init__(self, level):
        self._level, self._rest = level, ""

    def write(self, text):
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line:
                log(self._level, line)
        return len(text)

    def flush(self):
        if self._rest:
            log(self._level, self._rest)
            self._rest = ""

    def isatty(self):
        return False
