/** An explorer on a page of its own: what the kernel would send is in the page. */

import { averageTrials } from "./averages.js";
import { changed, fromBase64, unpack } from "./payload.js";

/** A model for `mount`: traits, and answers from the page in place of the kernel's. */
export class PageModel {
  constructor(values, parts) {
    this.values = values;
    this.parts = parts;
    /** @type {Record<string, Set<Function>>} */
    this.heard = {};
    const { header, arrays, buffers } = parts.overview;
    this.values._overview = { header, arrays, buffers: buffers.map(fromBase64) };
  }

  get(name) { return this.values[name]; }

  set(name, value) { this.values[name] = value; }

  save_changes() {}

  on(event, act) { (this.heard[event] ??= new Set()).add(act); }

  off(event, act) { this.heard[event]?.delete(act); }

  send(asked) {
    const part = this.parts[asked.key];
    const found = part ? { ...part, buffers: part.buffers.map(fromBase64) }
      : asked.ask === "mean" ? this.mean(asked)
        : { error: "This page does not hold that; open the explorer in a notebook." };
    const { buffers = [], ...message } = found;
    queueMicrotask(() => this.heard["msg:custom"]
      ?.forEach((act) => act({ key: asked.key, ...message }, buffers)));
  }

  /** A part of the page, its arrays decoded. */
  read(key) {
    const { header, arrays, buffers } = this.parts[key];
    return { header, ...unpack(arrays, buffers.map(fromBase64)) };
  }

  /** The average over trials of the page, as the kernel would send it. @returns {any} */
  mean({ record, trials, align }) {
    const overview = this.read(`overview ${record}`), { numbers } = overview.header;
    const positions = trials.map((number) => numbers.indexOf(number));
    const { axes } = overview.header, trial = (name, i) => this.read(`trial ${name} ${numbers[i]}`);
    const read = (i) => {
      const detail = /** @type {any} */ (trial(record, i));
      return detail.dM ? changed(detail, trial(axes, i), this.read(`overview ${axes}`)) : detail;
    };
    const buffers = [], answer = averageTrials(positions, read, overview, align);
    const { arrays, ...found } = /** @type {any} */ (answer);
    for (const [name, { data, shape }] of Object.entries(arrays ?? {})) {
      const dtype = name === "count" ? "int32" : "float32";
      (found.arrays ??= {})[name] = { dtype, shape, at: buffers.length };
      buffers.push(new DataView(data.buffer));
    }
    return { ...found, buffers };
  }
}
