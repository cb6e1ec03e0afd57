"""What Python expects of a system and a component does not have: files, a clock, randomness.

With WASI stubbed out, whatever needs it traps without a word. So the commonly used modules are imported here, at build time,
because none can be loaded later; what is printed goes to the log; and whoever asks for the time is told why there is none.
"""

import _strptime  # noqa: F401 - loaded by datetime.strptime when it is first used
import base64  # noqa: F401
import bisect  # noqa: F401
import calendar  # noqa: F401
import collections  # noqa: F401
import copy  # noqa: F401
import csv  # noqa: F401
import dataclasses  # noqa: F401
import datetime  # noqa: F401
import decimal  # noqa: F401
import encodings.ascii  # noqa: F401
import encodings.cp1252  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.utf_16  # noqa: F401
import encodings.utf_16_be  # noqa: F401
import encodings.utf_16_le  # noqa: F401
import encodings.utf_32  # noqa: F401
import encodings.utf_8  # noqa: F401
import encodings.utf_8_sig  # noqa: F401
import enum  # noqa: F401
import fractions  # noqa: F401
import functools  # noqa: F401
import hashlib  # noqa: F401
import heapq  # noqa: F401
import html  # noqa: F401
import io  # noqa: F401
import itertools  # noqa: F401
import json  # noqa: F401
import math  # noqa: F401
import operator  # noqa: F401
import re  # noqa: F401
import statistics  # noqa: F401
import string  # noqa: F401
import struct  # noqa: F401
import sys
import textwrap  # noqa: F401
import time
import typing  # noqa: F401
import unicodedata  # noqa: F401
import urllib.parse  # noqa: F401
import zlib  # noqa: F401

from ..log import Level, Lines


def _no_clock(*_):
    raise RuntimeError("an operator has no clock: take the time from the record, the timer or the call")


def enter():
    """Prepares an instance. Not at build time, when Python still has a system."""
    sys.stdout, sys.stderr = Lines(Level.INFO), Lines(Level.WARN)
    for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep", "time", "time_ns"):
        setattr(time, name, _no_clock)
