/** How operators come to be. */
import { Permanent } from "./errors.js";

class Operator {
  /**
   * Reads the settings and declares states, outputs and metrics, once on each new instance. Anything thrown is permanent. An
   * operator without it takes no settings.
   */
  open(setup) {
    if (Object.keys(setup.settings()).length) throw new Permanent("read the settings: this operator takes none");
  }
}

/** A stateless operator: one record in, any number out. */
export class Transform extends Operator {
  static role = "transform";

  /** Handles one record. What it emits before it throws is taken back. */
  process(_record, _out) {
    throw new Error("the operator has no `process`");
  }
}

/** A keyed operator, with state and timers. All records of a key come to one task, in order. */
export class Process extends Operator {
  static role = "process";

  /**
   * Handles one record. Where it throws the host makes the call again without the record, so that it leaves nothing.
   *
   * What `this` remembers is a cache: the host may drop an instance between any two calls. What must last goes into state.
   */
  process(_record, _cx) {
    throw new Error("the operator has no `process`");
  }

  /** Handles a timer that came due. Without it timers fire and do nothing. */
  onTimer(_timer, _cx) {}
}
