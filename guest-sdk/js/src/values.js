/**
 * Values that can be stored: as raw bytes, as a number, as text or as JSON.
 *
 * They have the bytes that the same types have in operators in other languages, so one can take over the state of another.
 */
import { Failure } from "./errors.js";
import { writeJson } from "./message.js";
import { decode, encode } from "./text.js";

/**
 * Numbers of a fixed width, little-endian. They are written into, and read from, the stored bytes in place: `write(stored, at,
 * value)`, `read(stored, at)`.
 */
function number(name, width, fits, write, read) {
  const check = (value) => {
    if (!fits(value)) throw new Failure(`store ${String(value)} as ${name}: it is none`);
  };
  const checkWidth = (length) => {
    if (length !== width) throw new Failure(`read a stored ${name}: its bytes are those of another type`);
  };
  return {
    width,
    write(stored, at, value) {
      check(value);
      write(stored, at, value);
    },
    read(stored, at) {
      checkWidth(stored.length - at);
      return read(stored, at);
    },
    encode(value) {
      const stored = new Uint8Array(width);
      this.write(stored, 0, value);
      return stored;
    },
    decode(stored) {
      return this.read(stored, 0);
    },
  };
}

const view = (stored) => new DataView(stored.buffer, stored.byteOffset, stored.length);

/** A number that a `DataView` reads and writes. */
function viewed(name, width, fits, method, from = same, to = same) {
  const [get, set] = [`get${method}`, `set${method}`];
  const write = (stored, at, value) => view(stored)[set](at, from(value), true);
  return number(name, width, fits, write, (stored, at) => to(view(stored)[get](at, true)));
}

function whole(name, width, least, most, method) {
  return viewed(name, width, (value) => Number.isInteger(value) && value >= least && value <= most, method);
}

/** Whole numbers of 64 bits as numbers, without the detour by `BigInt`. */
function writeWide(stored, at, value) {
  writeHalf(stored, at, value >>> 0);
  writeHalf(stored, at + 4, Math.floor(value / 2 ** 32));
}

function writeHalf(stored, at, half) {
  stored[at] = half;
  stored[at + 1] = half >> 8;
  stored[at + 2] = half >> 16;
  stored[at + 3] = half >> 24;
}

function readHalf(stored, at) {
  return stored[at] | (stored[at + 1] << 8) | (stored[at + 2] << 16) | (stored[at + 3] << 24);
}

function readWide(name, signed) {
  return (stored, at) => {
    const high = readHalf(stored, at + 4);
    const value = (signed ? high : high >>> 0) * 2 ** 32 + (readHalf(stored, at) >>> 0);
    if (!Number.isSafeInteger(value)) throw new Failure(`read a stored ${name}: it is beyond 2^53, read it as BIG_${name}`);
    return value;
  };
}

const isNumber = (value) => typeof value === "number";

export const U8 = whole("U8", 1, 0, 2 ** 8 - 1, "Uint8");
export const U16 = whole("U16", 2, 0, 2 ** 16 - 1, "Uint16");
export const U32 = whole("U32", 4, 0, 2 ** 32 - 1, "Uint32");
export const I8 = whole("I8", 1, -(2 ** 7), 2 ** 7 - 1, "Int8");
export const I16 = whole("I16", 2, -(2 ** 15), 2 ** 15 - 1, "Int16");
export const I32 = whole("I32", 4, -(2 ** 31), 2 ** 31 - 1, "Int32");
/** Whole numbers of 64 bits, as numbers: exact, or a failure. */
export const U64 = number("U64", 8, (value) => Number.isSafeInteger(value) && value >= 0, writeWide, readWide("U64", false));
export const I64 = number("I64", 8, Number.isSafeInteger, writeWide, readWide("I64", true));
/** Whole numbers of 64 bits, as `BigInt`. */
export const BIG_U64 = viewed("BIG_U64", 8, (value) => typeof value === "bigint" && value === BigInt.asUintN(64, value), "BigUint64");
export const BIG_I64 = viewed("BIG_I64", 8, (value) => typeof value === "bigint" && value === BigInt.asIntN(64, value), "BigInt64");
export const F32 = viewed("F32", 4, isNumber, "Float32");
export const F64 = viewed("F64", 8, isNumber, "Float64");
/** A time in milliseconds, or `NO_TIME`. */
export const TIMESTAMP = viewed("TIMESTAMP", 8, isTime, "BigInt64", BigInt, Number);

function isTime(value) {
  return Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63;
}

function same(value) {
  return value;
}

export const BOOL = {
  encode: (value) => Uint8Array.of(value ? 1 : 0),
  decode(stored) {
    if (stored.length !== 1 || stored[0] > 1) throw new Failure("read a stored bool: its bytes are those of another type");
    return stored[0] === 1;
  },
};

export const BYTES = {
  encode(value) {
    if (!(value instanceof Uint8Array)) throw new Failure(`store a value of type ${typeof value} as bytes`);
    return value;
  },
  decode: (stored) => stored.slice(),
};

export const TEXT = {
  encode(value) {
    if (typeof value !== "string") throw new Failure(`store a value of type ${typeof value} as text`);
    return encode(value);
  },
  decode,
};

export const JSON_VALUE = {
  encode: (value) => encode(writeJson(value)),
  decode(stored) {
    try {
      return JSON.parse(decode(stored));
    } catch (error) {
      throw new Failure(`parse a state as JSON: ${error.message}`);
    }
  },
};
