/**
 * The headers of a record.
 *
 * One record's headers are one run of bytes: i32 count, then for each i32 name length, name (UTF-8), i32 value length (-1:
 * absent), value; little-endian, unaligned.
 */
import { decode, encode } from "./text.js";

/** Names and values, in order. Bytes that end early end the headers. */
export function parse(encoded) {
  const found = [];
  if (encoded === undefined) return found;
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let at = 0;
  const number = () => view.getInt32((at += 4) - 4, true);
  const take = (length) => {
    if (length < 0 || at + length > encoded.length) throw new RangeError("the bytes end early");
    return encoded.subarray(at, (at += length));
  };
  try {
    for (let left = number(); left > 0; left--) {
      const name = decode(take(number()));
      const length = number();
      found.push([name, length === -1 ? undefined : take(length)]);
    }
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof URIError)) throw error;
  }
  return found;
}

/** The encoded headers with one more at the end. */
export function push(encoded, name, value) {
  const before = encoded !== undefined && encoded.length >= 4 ? encoded : new Uint8Array(4);
  const nameBytes = encode(name);
  const bytes = new Uint8Array(before.length + 8 + nameBytes.length + (value?.length ?? 0));
  const view = new DataView(bytes.buffer);
  bytes.set(before);
  view.setInt32(0, view.getInt32(0, true) + 1, true);
  view.setInt32(before.length, nameBytes.length, true);
  bytes.set(nameBytes, before.length + 4);
  view.setInt32(before.length + 4 + nameBytes.length, value?.length ?? -1, true);
  if (value) bytes.set(value, before.length + 8 + nameBytes.length);
  return bytes;
}
