/** Text as UTF-8. QuickJS has neither TextEncoder nor TextDecoder. */

const CHUNK = 4096;
const NOTHING = new Uint8Array(0);

/** The bytes of text. Text with half of a surrogate pair has none, and throws. */
export function encode(text) {
  const length = text.length;
  if (length === 0) return NOTHING;
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) {
    const unit = text.charCodeAt(at);
    if (unit > 127) return encodeAny(text);
    bytes[at] = unit;
  }
  return bytes;
}

function encodeAny(text) {
  const units = unescape(encodeURIComponent(text));
  const bytes = new Uint8Array(units.length);
  for (let at = 0; at < units.length; at++) bytes[at] = units.charCodeAt(at);
  return bytes;
}

/** The text of bytes. What is not UTF-8 throws. */
export function decode(bytes) {
  let units = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    units += String.fromCharCode.apply(null, bytes.subarray(at, at + CHUNK));
  }
  return isAscii(bytes) ? units : decodeURIComponent(escape(units));
}

function isAscii(bytes) {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] > 127) return false;
  return true;
}

/** The bytes of a key, a value or a header: text or bytes. */
export function toBytes(part) {
  if (typeof part === "string") return encode(part);
  if (part instanceof Uint8Array) return part;
  throw new TypeError(`a key, a value or a header is text or a Uint8Array, not ${part === null ? "null" : typeof part}`);
}

/** Whether two byte strings, each of which may be absent, are the same. */
export function same(left, right) {
  if (left === right) return true;
  if (left === undefined || right === undefined || left.length !== right.length) return false;
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false;
  return true;
}
