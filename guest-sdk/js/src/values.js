/**
 * Values that can be stored: as raw bytes, as a number, as text or as JSON.
 *
 * They have the bytes that the same types have in operators in other languages, so one can take over the state of another.
 */
import { Failure } from "./errors.js";
import { writeJson } from "./message.js";
import { decode, encode } from "./text.js";

function number(name, bytes, fits, write, read) {
  return {
    encode(value) {
      if (!fits(value)) throw new Failure(`store ${String(value)} as ${name}: it is none`);
      const stored = new Uint8Array(bytes);
      write(new DataView(stored.buffer), value);
      return stored;
    },
    decode(stored) {
      if (stored.length !== bytes) throw new Failure(`read a stored ${name}: its bytes are those of another type`);
      return read(new DataView(stored.buffer, stored.byteOffset, bytes));
    },
  };
}

function whole(name, bytes, least, most, method) {
  const fits = (value) => Number.isInteger(value) && value >= least && value <= most;
  return number(name, bytes, fits, (view, value) => view[`set${method}`](0, value, true), (view) => view[`get${method}`](0, true));
}

function wide(name, signed, fits, from, to) {
  const method = signed ? "BigInt64" : "BigUint64";
  return number(name, 8, fits, (view, value) => view[`set${method}`](0, from(value), true), (view) => to(view[`get${method}`](0, true)));
}

function exact(name) {
  return (value) => {
    const asNumber = Number(value);
    if (!Number.isSafeInteger(asNumber)) throw new Failure(`read a stored ${name}: ${value} is beyond 2^53, read it as BIG_${name}`);
    return asNumber;
  };
}

const isNumber = (value) => typeof value === "number";
const same = (value) => value;

export const U8 = whole("U8", 1, 0, 2 ** 8 - 1, "Uint8");
export const U16 = whole("U16", 2, 0, 2 ** 16 - 1, "Uint16");
export const U32 = whole("U32", 4, 0, 2 ** 32 - 1, "Uint32");
export const I8 = whole("I8", 1, -(2 ** 7), 2 ** 7 - 1, "Int8");
export const I16 = whole("I16", 2, -(2 ** 15), 2 ** 15 - 1, "Int16");
export const I32 = whole("I32", 4, -(2 ** 31), 2 ** 31 - 1, "Int32");
/** Whole numbers of 64 bits, as numbers: exact, or a failure. */
export const U64 = wide("U64", false, (value) => Number.isSafeInteger(value) && value >= 0, BigInt, exact("U64"));
export const I64 = wide("I64", true, Number.isSafeInteger, BigInt, exact("I64"));
/** Whole numbers of 64 bits, as `BigInt`. */
export const BIG_U64 = wide("BIG_U64", false, (value) => typeof value === "bigint" && value === BigInt.asUintN(64, value), same, same);
export const BIG_I64 = wide("BIG_I64", true, (value) => typeof value === "bigint" && value === BigInt.asIntN(64, value), same, same);
export const F32 = number("F32", 4, isNumber, (view, value) => view.setFloat32(0, value, true), (view) => view.getFloat32(0, true));
export const F64 = number("F64", 8, isNumber, (view, value) => view.setFloat64(0, value, true), (view) => view.getFloat64(0, true));
/** A time in milliseconds, or `NO_TIME`. */
export const TIMESTAMP = wide("TIMESTAMP", true, (value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 63, BigInt, Number);

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
