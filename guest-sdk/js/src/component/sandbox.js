/**
 * What JavaScript expects of a system and a component does not have: a console, a clock, randomness. With WASI stubbed out,
 * whatever needs it traps without a word; so the console is the log, and whoever asks for the time is told why there is none.
 */
import * as log from "../log.js";

const line = (values) => values.map((value) => (typeof value === "string" ? value : show(value))).join(" ");

function show(value) {
  try {
    return value instanceof Error ? `${value}` : JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

const noClock = () => {
  throw new Error("an operator has no clock: take the time from the record, the timer or the call");
};

globalThis.console = {
  trace: (...values) => log.trace(line(values)),
  debug: (...values) => log.debug(line(values)),
  log: (...values) => log.info(line(values)),
  info: (...values) => log.info(line(values)),
  warn: (...values) => log.warn(line(values)),
  error: (...values) => log.error(line(values)),
};

const SystemDate = Date;
/** Dates of given times only. */
globalThis.Date = function Date(...given) {
  if (!new.target || given.length === 0) noClock();
  return Reflect.construct(SystemDate, given, new.target);
};
globalThis.Date.prototype = SystemDate.prototype;
SystemDate.prototype.constructor = globalThis.Date;
Object.assign(globalThis.Date, { UTC: SystemDate.UTC, parse: SystemDate.parse, now: noClock });
Math.random = () => {
  throw new Error("an operator has no randomness: a call that is made again must have the same effects");
};
delete globalThis.performance;
