/** An explorer on a page of its own: what the kernel would send is in the page. */

import { fromBase64 } from "./payload.js";

/** A model for `mount`: traits, and answers from the page in place of the kernel's. */
export class PageModel {
  constructor(values, parts) {
    Object.assign(this, { values, parts, heard: {} });
    const { header, arrays, buffers } = parts.overview;
    this.values._overview = { header, arrays, buffers: buffers.map(fromBase64) };
  }

  get(name) { return this.values[name]; }

  set(name, value) { this.values[name] = value; }

  save_changes() {}

  on(event, act) { (this.heard[event] ??= new Set()).add(act); }

  off(event, act) { this.heard[event]?.delete(act); }

  send({ key }) {
    const part = this.parts[key];
    const message = part ? { key, header: part.header, arrays: part.arrays }
      : { key, error: "This page does not hold that; open the explorer in a notebook." };
    queueMicrotask(() => this.heard["msg:custom"]
      ?.forEach((act) => act(message, part ? part.buffers.map(fromBase64) : [])));
  }
}
