"""Values that can be stored: as raw bytes, as a number, as text or as JSON.

They have the bytes that the same types have in operators in other languages, so one can take over the state of another.
"""

import json
import struct

from .errors import Failure
from .message import write_json


class Value:
    """A pair of functions: the bytes of a value, and the value of these bytes.

    A change of a type's bytes is a new version of the state's encoding.
    """

    __slots__ = ("name", "encode", "decode")

    def __init__(self, name, encode, decode):
        self.name, self.encode, self.decode = name, encode, decode


def _number(name, code):
    shape = struct.Struct("<" + code)

    def encode(number):
        try:
            return shape.pack(number)
        except struct.error as error:
            raise Failure(f"store {number!r} as {name}: {error}") from error

    def decode(stored):
        if len(stored) != shape.size:
            raise Failure(f"read a stored {name}: its bytes are those of another type")
        return shape.unpack(stored)[0]

    return Value(name, encode, decode)


def _bytes(value):
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise Failure(f"store {type(value).__name__} as bytes")
    return bytes(value)


def _text(value):
    if not isinstance(value, str):
        raise Failure(f"store {type(value).__name__} as text")
    return value.encode()


def _parse(stored):
    try:
        return json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise Failure(f"parse a state as JSON: {error}") from error


U8, U16, U32, U64 = (_number(f"u{8 * 2 ** power}", code) for power, code in enumerate("BHIQ"))
I8, I16, I32, I64 = (_number(f"i{8 * 2 ** power}", code) for power, code in enumerate("bhiq"))
F32, F64 = _number("f32", "f"), _number("f64", "d")
BOOL = _number("bool", "?")
TIMESTAMP = I64
BYTES = Value("bytes", _bytes, bytes)
TEXT = Value("text", _text, lambda stored: str(stored, "utf-8"))
JSON = Value("JSON", lambda value: write_json(value).encode(), _parse)
