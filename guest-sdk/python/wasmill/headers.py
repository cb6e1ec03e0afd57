"""The headers of a record.

One record's headers are one run of bytes: i32 count, then for each i32 name length, name (UTF-8), i32 value length (-1:
absent), value; little-endian, unaligned.
"""

import struct

_I32 = struct.Struct("<i")
_NONE = _I32.pack(0)


def parse(encoded):
    """Names and values, in order. Bytes that end early end the headers."""
    found = []
    try:
        (count,), at = _I32.unpack_from(encoded), 4
        for _ in range(count):
            name, at = _take(encoded, at)
            value, at = _take(encoded, at)
            found.append((str(name, "utf-8"), value))
    except (struct.error, TypeError, UnicodeDecodeError):
        pass
    return found


def _take(encoded, at):
    (length,), at = _I32.unpack_from(encoded, at), at + 4
    if length == -1:
        return None, at
    if length < 0 or at + length > len(encoded):
        raise struct.error("the bytes end early")
    return encoded[at:at + length], at + length


def push(encoded, name, value):
    """The encoded headers with one more at the end."""
    encoded = encoded if encoded is not None and len(encoded) >= 4 else _NONE
    name = name.encode()
    count = _I32.pack(_I32.unpack_from(encoded)[0] + 1)
    length = -1 if value is None else len(value)
    return b"".join((count, encoded[4:], _I32.pack(len(name)), name, _I32.pack(length), value or b""))
