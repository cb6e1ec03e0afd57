/** The exports of the world `process`. */
import * as state from "wasmill:plugin/state@0.1.0";
import * as timers from "wasmill:plugin/timers@0.1.0";
import { host } from "../host.js";
import { guarded, imports, lifecycle, opened } from "./component.js";

/** What a keyed operator may ask of the host besides. */
const keyed = {
  get: (index, key, field) => state.get(index, key, field) ?? undefined,
  put: (index, key, field, value) => state.put(index, key, field, value),
  delete: (index, key, field) => state.delete(index, key, field),
  scan: (index, key, start, end, limit, reverse) => state.scan(index, key, start, end, limit, reverse),
  deleteRange: (index, key, start, end) => state.deleteRange(index, key, start, end),
  setTimers: (domain, spans, data, at) => timers.setMany(domain, { spans, data }, at),
};

export function component(Operator, name, version) {
  host.imports = { ...imports, ...keyed };
  return {
    lifecycle: lifecycle(Operator, name, version),
    processor: {
      process: guarded((info, records, slots) => opened().process(info, records, slots)),
      onTimers: guarded((info, domain, due, slots) => opened().onTimers(info, domain, due, slots)),
    },
  };
}
