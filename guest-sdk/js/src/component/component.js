/** The component's side: the imports as the SDK's host, and what its exports share. Only a component can import it. */
import * as logging from "wasmill:plugin/logging@0.1.0";
import * as metrics from "wasmill:plugin/metrics@0.1.0";
import * as origin from "wasmill:plugin/origin@0.1.0";
import * as output from "wasmill:plugin/output@0.1.0";
import { Transient, reason } from "../errors.js";
import { Guest } from "../guest.js";
import "./sandbox.js";

/** What every operator may ask of the host. */
export const imports = {
  emit: (port, timestamps, spans, data, origins) => output.emit(port, { timestamps, spans, data }, origins),
  topic: () => origin.topic(),
  offsets: () => origin.offsets(),
  watermarks: () => origin.watermarks(),
  add: (metric, delta) => metrics.add(metric, delta),
  set: (metric, value) => metrics.set(metric, value),
  observe: (metric, value) => metrics.observe(metric, value),
  enabled: (level) => logging.enabled(level),
  log: (level, message) => logging.log(level, message),
};

/**
 * Turns what is thrown from a call into the contract's error: what escapes from a component is a trap that says nothing of
 * the operator's file and line.
 */
export function guarded(run) {
  return (...given) => {
    try {
      return run(...given);
    } catch (error) {
      throw { tag: error instanceof Transient ? "transient" : "permanent", val: reason(error) };
    }
  };
}

let guest;

/** The open operator. */
export function opened() {
  if (!guest) throw new Error("call the operator: it was not opened");
  return guest;
}

/** What every plugin exports. */
export const lifecycle = (Operator, name, version) => ({
  describe: guarded((settings) => {
    const { inputs, outputs, states, metrics } = new Guest(Operator, settings).setup;
    const declared = states.map(({ value, ...state }) => state);
    return { name, version, inputs, outputs, states: declared, metrics };
  }),
  open: guarded((settings) => {
    guest = new Guest(Operator, settings);
  }),
});
