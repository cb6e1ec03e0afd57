/** The operator's log, which the host shows with the operator's name. `console` writes to it too. */
import { host } from "./host.js";

/** Whether anybody listens at this level: `trace`, `debug`, `info`, `warn` or `error`. */
export const enabled = (level) => host.imports.enabled(level);

/** Writes a line if anybody listens. Lines above the host's rate limit are dropped and counted. */
export function log(level, message) {
  if (enabled(level)) host.imports.log(level, String(message));
}

/** Logs a step. */
export const trace = (message) => log("trace", message);
/** Logs what helps to find a fault. */
export const debug = (message) => log("debug", message);
/** Logs what an operator wants to read. */
export const info = (message) => log("info", message);
/** Logs what may go wrong. */
export const warn = (message) => log("warn", message);
/** Logs what went wrong. */
export const error = (message) => log("error", message);
