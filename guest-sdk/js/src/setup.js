/** What an operator declares when it opens. */
import { Permanent } from "./errors.js";
import { Counter, Gauge, Histogram } from "./metric.js";
import { Buffer, Port } from "./output.js";
import { Declared, OrderedMap, Single } from "./state.js";

/**
 * What an output does with the keys of records. `KEPT`: every record leaves with the key that it came with, so no
 * repartitioning is needed behind the output; emitting another key there is a permanent error. `CHANGED`: they may differ.
 */
export const Keys = Object.freeze({ KEPT: true, CHANGED: false });

/**
 * Settings in, declarations out: what `open` is given.
 *
 * It is run on every new instance, and once more when a pipeline is deployed, to learn what the operator is. So it declares
 * the same for the same settings, and does nothing else.
 */
export class Setup {
  #settings;
  #inputs = [];

  constructor(settings) {
    this.#settings = settings;
    this.outputs = [{ name: "main", keepsKeys: false }];
    this.states = [];
    this.metrics = [];
  }

  /**
   * The operator's `settings` in the pipeline file, as an object. With `known` they are the settings that there are, with their
   * defaults: an unknown one is a permanent error, and so is one missing whose default is `undefined`.
   */
  settings(known = undefined) {
    let found;
    try {
      found = JSON.parse(this.#settings);
    } catch (error) {
      throw new Permanent(`read the settings: ${error.message}`);
    }
    if (known === undefined) return found;
    for (const name of Object.keys(found)) {
      if (!Object.hasOwn(known, name)) {
        throw new Permanent(`read the settings: there is no \`${name}\`, only ${Object.keys(known).join(", ")}`);
      }
    }
    const merged = { ...known, ...found };
    for (const [name, value] of Object.entries(merged)) {
      if (value === undefined) throw new Permanent(`read the settings: \`${name}\` is missing`);
    }
    return merged;
  }

  /** The inputs. An operator that declares none has one, `in`. */
  get inputs() {
    return this.#inputs.length ? this.#inputs : ["in"];
  }

  /** Declares an input by name, and answers what `Call.input` is for its records. */
  input(name) {
    return this.#inputs.push(name) - 1;
  }

  /** Says what the main output does with keys. Without it they may change. */
  mainOutput(keys) {
    this.outputs[0].keepsKeys = keys;
  }

  /** Declares an output besides the main one. */
  output(name, keys) {
    return new Port(this.outputs.push({ name, keepsKeys: keys }) - 1);
  }

  /**
   * Begins to declare a state with values of this type, such as `U64`, `TEXT` or `JSON_VALUE`; the name ties what is stored to the
   * code across versions. A stateless operator has no use for it.
   */
  state(name, value) {
    return new StateSetup(this, name, value);
  }

  /** Declares a counter. `unit` is what one of it is, such as `orders` or `bytes`. */
  counter(name, unit) {
    return new Counter(this.#metric(name, "counter", unit));
  }

  /** Declares a gauge. */
  gauge(name, unit) {
    return new Gauge(this.#metric(name, "gauge", unit));
  }

  /** Declares a histogram. */
  histogram(name, unit) {
    return new Histogram(this.#metric(name, "histogram", unit));
  }

  #metric(name, kind, unit) {
    return this.metrics.push({ name, kind, unit }) - 1;
  }

  /** Checks what was declared, once everything is. For the SDK. */
  finish() {
    unique("input", this.inputs);
    unique("output", this.outputs.map(({ name }) => name));
    unique("state", this.states.map(({ name }) => name));
    unique("metric", this.metrics.map(({ name }) => name));
  }

  /** A buffer for each output. For the SDK. */
  buffers() {
    return this.outputs.map(({ name, keepsKeys }, port) => new Buffer(port, name, keepsKeys));
  }

  /** How many states are prefetched. For the SDK. */
  prefetched() {
    return this.states.filter(({ prefetch }) => prefetch).length;
  }
}

function unique(noun, names) {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Permanent(`declare ${noun} \`${twice}\`: there are two of that name`);
}

/** A state being declared, by `Setup.state`. */
export class StateSetup {
  #setup;
  #name;
  #value;
  #ttl;
  #encoding = 1;
  #older;

  constructor(setup, name, value) {
    this.#setup = setup;
    this.#name = name;
    this.#value = value;
  }

  /** Forgets what was last written this many milliseconds of event time ago. */
  ttl(milliseconds) {
    this.#ttl = Math.trunc(milliseconds);
    return this;
  }

  /**
   * The version of the values' encoding, 1 without it. Raise it when the bytes change their meaning; a reload to a lower one is
   * refused. It is the first byte of every stored value.
   */
  encoding(version) {
    this.#encoding = version;
    return this;
  }

  /** How values of other encodings are read, by version and bytes. Without it meeting one is a permanent error. */
  older(read) {
    this.#older = read;
    return this;
  }

  /** One value for each key, read when it is asked for: for values that few records need. */
  single() {
    const index = this.#setup.states.length;
    return new Single(this.#declare("single", false), false, index);
  }

  /** One value for each key, fetched ahead for all keys of a call: for values that most records need. */
  prefetched() {
    const index = this.#setup.prefetched();
    return new Single(this.#declare("single", true), true, index);
  }

  /** An ordered map from fields to values for each key. */
  orderedMap() {
    const index = this.#setup.states.length;
    return new OrderedMap(this.#declare("ordered-map", false), index);
  }

  #declare(kind, prefetch) {
    const declared = { name: this.#name, kind, prefetch, ttlMs: this.#ttl, encoding: this.#encoding };
    this.#setup.states.push({ ...declared, value: this.#value });
    return new Declared(this.#name, this.#value, this.#encoding, this.#older);
  }
}
