/** What explorers of single trials share: a time, a trial, keys for both, playing, a selection. */

import { App } from "./app.js";
import { words } from "./axes.js";
import { button, make, slider } from "./controls.js";

/** An explorer of trials at one time. A subclass sets `items`, what is shown of them. */
export class Trials extends App {
  /** @returns {any} */
  build() {
    const { header, time } = this.overview, bar = make("div", { className: "mpn-bar-top" });
    const grid = make("div", { className: "mpn-grid" });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.dt = header.dt;
    this.times = time.data;
    this.rate = calm ? 5 : 10;
    /** @type {Items} */
    this.items = [];
    /** @type {any[]} */
    this.panels = [];
    this.title = make("div", { className: "mpn-title" });
    this.root.append(bar, this.title, grid);
    this.player = button(bar, "▶", "play", "Play, or pause (space)", () => this.toggle());
    this.clock = slider(bar, "time", "Time in the trial (arrow keys left and right, Home, End)",
      (k) => this.go(this.extent()[0] + k));
    this.keys = {
      ArrowRight: () => this.go(this.step() + 1), ArrowLeft: () => this.go(this.step() - 1),
      Home: () => this.go(-Infinity), End: () => this.go(Infinity),
      ArrowDown: () => this.turn(1), ArrowUp: () => this.turn(-1), " ": () => this.toggle(),
      Escape: () => { this.select(null); for (const panel of this.panels) panel.zoom = {}; },
    };
    return { bar, grid };
  }

  /** The arrays of what is shown first. */
  get detail() { return this.items[0]?.detail; }

  position(trial) { return this.overview.header.numbers.indexOf(trial); }

  /** The first and the last step of the axis: 0 is the trial's start, or that which `align` says. */
  extent() {
    return [Math.min(...this.items.map((item) => item.first)),
    Math.max(...this.items.map((item) => item.first + item.steps - 1))];
  }

  within(step) {
    const [low, high] = this.extent();
    return Math.min(Math.max(step, low), high);
  }

  /** The time of the step 0 of the axis. */
  get origin() { return this.times[0]; }

  /** The step of the axis that is shown. */
  step() { return this.within(Math.floor((this.get("time") - this.origin) / this.dt + 1e-6)); }

  timeOf(step) { return this.origin + step * this.dt; }

  /** The step that a place on a time axis lies in, and its time. */
  stepAt(x) { return this.within(Math.round((x - this.origin) / this.dt)); }

  timeAt(x) { return this.timeOf(this.stepAt(x)); }

  go(step) { this.set({ time: this.timeOf(this.within(step)) }); }

  /** The traits of a trial, at the time shown or its last. */
  frame(trial, time = this.get("time")) {
    const first = this.firstOf(trial), last = first + this.overview.header.lengths[this.position(trial)] - 1;
    return { trial, time: Math.max(this.timeOf(first), Math.min(time, this.timeOf(last))) };
  }

  /** The step of the axis at which a trial begins. @param {number} _ */
  firstOf(_) { return 0; }

  /** The trial that comes `by` trials later; after the last comes the first. */
  next(by) {
    const { numbers } = this.overview.header, count = numbers.length;
    return numbers[(this.position(this.get("trial")) + by + count) % count];
  }

  turn(by) { this.set(this.frame(this.next(by))); }

  toggle() {
    if (!this.playing && this.step() === this.extent()[1]) this.go(-Infinity);
    this.play(() => {
      this.go(this.step() + 1);
      return this.step() < this.extent()[1];
    }, () => this.rate);
    this.schedule();
  }

  /** What a click may change. */
  here() {
    const here = ["time", "trial", "selection", "view", "age"].map((name) => [name, this.get(name)]);
    return Object.fromEntries(here.filter(([, value]) => value !== undefined));
  }

  selection() { return this.get("selection") ?? {}; }

  select(chosen) { this.set({ selection: chosen ? { ...this.selection(), ...chosen } : {} }); }

  ready() { return this.items.length > 0; }

  key(event) { if (this.ready()) super.key(event); }

  /** The name of the period at a step. */
  periodAt(step) {
    const t = step - this.items[0].first;
    return this.detail.header.periods.find(([, from, to]) => t >= from && t < to)?.[0] ?? "";
  }

  /** Shows the time and whether it plays. */
  showTime(step) {
    const [low, high] = this.extent();
    this.clock.show(step - low, high - low,
      [`${words(this.timeOf(step), 6)} ms`, this.periodAt(step)].filter(Boolean).join(" · "));
    this.player.textContent = this.playing ? "❚❚" : "▶";
    this.player.ariaLabel = this.playing ? "pause" : "play";
  }
}
