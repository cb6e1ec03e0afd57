/** What a keyed operator works with while it handles a record or a timer. */
import { toBytes } from "./text.js";
import { Alarms } from "./timer.js";
import { NO_TIME } from "./timestamp.js";

const NOTHING = new Uint8Array(0);

/**
 * The place of the record or timer at hand: its key, with the key's state and timers, and the output.
 *
 * State is read and written through the handles that `Setup.state` made; they take the context and reach the state of its
 * key only.
 */
export class Context {
  #out;

  constructor(out, cells) {
    this.#out = out;
    this.cells = cells;
    this.alarms = new Alarms();
    this.slot = 0;
    /** Whether the record at hand changed state or timers. For the SDK. */
    this.changed = false;
    /** The key of the record or timer at hand. */
    this.key = NOTHING;
  }

  /** The call that it came by. */
  get call() {
    return this.#out.call;
  }

  /** Emits to the main output, as `Output.emit` does. */
  emit(message) {
    this.#out.emit(message);
  }

  /** Emits to a named output, as `Output.emit` does. */
  emitTo(port, message) {
    this.#out.emitTo(port, message);
  }

  /**
   * Sets the key's timer of this domain and name, or moves it if it is set. One set at or before the watermark fires after
   * the next records.
   */
  setTimer(domain, name, at) {
    this.changed = true;
    this.alarms.set(domain, this.key, toBytes(name), at);
  }

  /** Takes the key's timer of this domain and name back, if it is set. */
  cancelTimer(domain, name) {
    this.setTimer(domain, name, NO_TIME);
  }

  /** From here on the key is this record's. For the SDK. */
  begin(record, slot) {
    this.#out.begin(record);
    this.key = record.key ?? NOTHING;
    this.slot = slot;
    this.changed = false;
  }
}
