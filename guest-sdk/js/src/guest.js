/** The exports of a component, over the classes that operators derive from. `component` and `testing` use it. */
import { Call } from "./call.js";
import { Context } from "./context.js";
import { Permanent, Transient, reason } from "./errors.js";
import { Output } from "./output.js";
import { Record } from "./record.js";
import { Setup } from "./setup.js";
import { Cells } from "./state.js";
import { Timer } from "./timer.js";

/** One operator, once it is open. */
export class Guest {
  #buffers;
  #prefetched;

  constructor(Operator, settings) {
    this.operator = new Operator();
    this.setup = new Setup(settings);
    this.operator.open(this.setup);
    this.setup.finish();
    this.#buffers = this.setup.buffers();
    this.#prefetched = this.setup.prefetched();
  }

  /** Answers `transformer.process`. What a failed record emitted is taken back. */
  transform(info, { timestamps, spans, data }) {
    const out = this.#output(info);
    const failures = [];
    for (let index = 0; index < timestamps.length; index++) {
      const record = new Record(data, spans, index, timestamps[index]);
      out.begin(record);
      try {
        this.operator.process(record, out);
        out.settle();
      } catch (error) {
        failures.push(failure(index, error));
        out.rollBack();
      }
    }
    out.finish();
    return { failures };
  }

  /** Answers `processor.process`. */
  process(info, records, slots) {
    return this.#each(info, records, slots, (record, cx) => this.operator.process(record, cx));
  }

  /** Answers `processor.on-timers`. */
  onTimers(info, domain, timers, slots) {
    return this.#each(info, timers, slots, (record, cx) => this.operator.onTimer(new Timer(domain, record), cx));
  }

  #each(info, { timestamps, spans, data }, slots, handle) {
    const out = this.#output(info);
    const cx = new Context(out, new Cells(slots.values, this.#prefetched));
    const failures = [];
    // What a record changed before it failed is still there, so later records of its key are left to the call that the host
    // makes again.
    const spoilt = new Set();
    for (let index = 0; index < timestamps.length; index++) {
      const slot = slots.slotOf[index];
      if (spoilt.has(slot)) continue;
      const record = new Record(data, spans, index, timestamps[index]);
      cx.begin(record, slot);
      try {
        handle(record, cx);
        out.settle();
      } catch (error) {
        failures.push(failure(index, error));
        out.rollBack();
        if (cx.changed) spoilt.add(slot);
      }
    }
    if (failures.length) return { failures, cells: [], values: { spans: [], data: new Uint8Array(0) } };
    out.finish();
    cx.alarms.finish();
    return { failures, ...cx.cells.finish() };
  }

  #output(info) {
    for (const buffer of this.#buffers) buffer.clear();
    return new Output(this.#buffers, new Call(info));
  }
}

/** The failure of a record; an error of the whole call is thrown on. */
function failure(index, error) {
  if (error instanceof Transient || error instanceof Permanent) throw error;
  return { index, reason: reason(error) };
}
