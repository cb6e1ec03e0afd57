/** Metrics of the operator's own, declared in `Setup`. They count in calls that take effect only. */
import { host } from "./host.js";

/** A sum that only grows. */
export class Counter {
  #index;

  constructor(index) {
    this.#index = index;
  }

  /** Adds to it. */
  add(delta = 1) {
    host.imports.add(this.#index, delta);
  }
}

/** A number that goes up and down. */
export class Gauge {
  #index;

  constructor(index) {
    this.#index = index;
  }

  /** Sets it. */
  set(value) {
    host.imports.set(this.#index, value);
  }
}

/** A distribution of observed numbers. */
export class Histogram {
  #index;

  constructor(index) {
    this.#index = index;
  }

  /** Adds an observation. */
  observe(value) {
    host.imports.observe(this.#index, value);
  }
}
