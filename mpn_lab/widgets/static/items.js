/** What is shown beside each other, on one axis of time: trials or averages, A to D. */

import { largestOf } from "./axes.js";
import { matrixAt, modulations } from "./payload.js";

export const MOST_ITEMS = 4;
export const DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3]];

/** A trial or an average of a record; its first step is the step `first` of the axis. */
export class Item {
  /** @param {number} k @param {Partial<Given> & { overview: Overview, detail: Detail }} given */
  constructor(k, given) {
    this.k = k;
    this.letter = "ABCD"[k];
    this.dash = DASHES[k];
    this.overview = given.overview;
    this.detail = given.detail;
    this.first = given.first ?? 0;
    this.origin = given.origin ?? 0;
    this.record = given.record ?? "";
    this.label = given.label ?? "";
    this.number = given.number;
    this.trials = given.trials;
    this.color = given.color; // of the theme; none: that of the panel
    this.unaligned = given.unaligned; // whether it lacks the period that times count from
    this.steps = this.detail.Q.shape[0];
    this.dt = this.overview.header.dt;
    /** @type {Float32Array | null} */
    this.out = null; // the map drawn last
  }

  timeOf(t) { return this.origin + (this.first + t) * this.dt; }

  /** Its own step at a step of the axis; null where it has none. */
  at(step) {
    const t = step - this.first;
    return t >= 0 && t < this.steps ? t : null;
  }

  /** An entry of an array [time, ...] at a step of the axis; nan where there is none. */
  value(name, step, k = 0) {
    const t = this.at(step), { data, shape } = this.detail[name];
    return t === null ? NaN : data[t * (shape[1] ?? 1) + k];
  }

  /**
   * What the map shows, [hidden, input], at a step of the axis; null where there is none. A change needs
   * the step before, and of an average one that is over the same number of trials.
   */
  map(show, step) {
    const t = this.at(step), { header } = this.overview;
    if (t === null || (show === "change of M" && !this.follows(t))) return null;
    this.out ??= new Float32Array(header.hidden * header.inputs);
    return matrixAt(show, t, this.detail, this.overview, header.modulation === "multiplicative", this.out);
  }

  /** Whether the step before is known, and of an average, is over the same number of trials. */
  follows(t) {
    const { gaps } = this.overview.header, { count, M_start, header } = this.detail;
    if (!count || gaps.length) return !count && !gaps.includes(t);
    return t ? count.data[t] === count.data[t - 1] : Boolean(M_start) || count.data[0] === header.averaged;
  }

  /** A synapse at all its steps. */
  synapse(show, unit, input) {
    const k = unit * this.overview.header.inputs + input;
    return Float32Array.from({ length: this.steps }, (_, t) => this.map(show, this.first + t)?.[k] ?? NaN);
  }

  /** Whether the difference of another item from this one means something: at the same moments. */
  comparable(other) { return !this.unaligned && !other.unaligned; }

  /** Whether another item has the same units: of the same network, or an edited or earlier one. */
  alike(other) { return this.overview.header.axes === other.overview.header.axes; }

  hasMap(show) {
    return Boolean(show in this.overview.header.shows && modulations(this.detail, this.overview));
  }
}

/** An item, or its difference from the first: what one map shows of h, or of M. */
export class Layer {
  /** @param {Item} item @param {Item | null} minus */
  constructor(item, minus = null) {
    this.item = item;
    this.minus = minus;
    /** @type {Record<string, number>} */
    this.largest = {};
    /** @type {Float32Array | null} */
    this.out = null;
    this.name = minus ? `${item.letter} − ${minus.letter}` : item.letter;
  }

  h(step, unit) {
    const value = this.item.value("h", step, unit);
    return this.minus ? value - this.minus.value("h", step, unit) : value;
  }

  map(show, step) {
    const now = this.item.map(show, step), before = this.minus?.map(show, step);
    if (!this.minus || !now) return now;
    if (!before) return null;
    this.out ??= new Float32Array(now.length);
    for (let k = 0; k < now.length; k++) this.out[k] = now[k] - before[k];
    return this.out;
  }

  /** The scale of its colours: that of all trials, or the largest difference at any step. */
  scale(name) {
    const { item, minus } = this, { scales, hidden } = item.overview.header;
    if (!minus) return scales[name];
    return this.largest[name] ??= Math.max(...Array.from({ length: item.steps }, (_, t) => {
      const step = item.first + t;
      return largestOf(name === "h" ? Array.from({ length: hidden }, (_, k) => this.h(step, k))
        : this.map(name, step) ?? []);
    })) || scales[name];
  }
}

/** What the maps of h, or of M (`show`), show: each item, then the differences from the first. */
export function shownMaps(items, show) {
  const having = show ? items.filter((item) => item.hasMap(show)) : items, [first] = having;
  const same = (item) => first.comparable(item) && ["hidden", ...(show ? ["inputs"] : [])].every((size) =>
    item.overview.header[size] === first.overview.header[size]);
  return [...having.map((item) => new Layer(item)),
  ...having.slice(1).filter(same).map((item) => new Layer(item, first))];
}
