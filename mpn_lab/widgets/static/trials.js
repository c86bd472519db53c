/** What explorers of single trials share: a time, a trial, keys for both, playing, a selection. */

import { App } from "./app.js";
import { words } from "./axes.js";
import { button, make, slider } from "./controls.js";

/** An explorer that shows one trial at one time. A subclass sets `detail`, what is shown of it. */
export class Trials extends App {
  build() {
    const { header, time } = this.overview, bar = make("div", { className: "mpn-bar-top" });
    const grid = make("div", { className: "mpn-grid" });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    Object.assign(this, { dt: header.dt, times: time.data, rate: calm ? 5 : 10 });
    this.title = make("div", { className: "mpn-title" });
    this.root.append(bar, this.title, grid);
    this.player = button(bar, "▶", "play", "Play, or pause (space)", () => this.toggle());
    this.clock = slider(bar, "time", "Time in the trial (arrow keys left and right, Home, End)",
      (step) => this.go(step));
    this.keys = {
      ArrowRight: () => this.go(this.step() + 1), ArrowLeft: () => this.go(this.step() - 1),
      Home: () => this.go(0), End: () => this.go(this.steps() - 1),
      ArrowDown: () => this.turn(1), ArrowUp: () => this.turn(-1), " ": () => this.toggle(),
      Escape: () => { this.select(null); for (const panel of this.panels) panel.zoom = {}; },
    };
    return { bar, grid };
  }

  position() { return this.overview.header.numbers.indexOf(this.get("trial")); }

  /** The traits of a trial, at the time shown or its last. */
  frame(trial, time = this.get("time")) {
    const { numbers, lengths } = this.overview.header;
    return { trial, time: Math.min(time, this.times[lengths[numbers.indexOf(trial)] - 1]) };
  }

  steps() { return this.overview.header.lengths[this.position()]; }

  within(step) { return Math.min(Math.max(step, 0), this.steps() - 1); }

  step() {
    const step = Math.floor((this.get("time") - this.times[0]) / this.dt + 1e-6);
    return Math.min(this.within(step), this.detail.Q.shape[0] - 1);
  }

  timeOf(step) { return this.times[step]; }

  /** The time of the step that a place on a time axis lies in. */
  timeAt(x) { return this.times[this.within(Math.round((x - this.times[0]) / this.dt))]; }

  go(step) { this.set({ time: this.times[this.within(step)] }); }

  /** The trial that comes `by` trials later; after the last comes the first. */
  next(by) {
    const { numbers } = this.overview.header, count = numbers.length;
    return numbers[(this.position() + by + count) % count];
  }

  turn(by) { this.set(this.frame(this.next(by))); }

  toggle() {
    if (!this.playing && this.step() === this.steps() - 1) this.go(0);
    this.play(() => {
      this.go(this.step() + 1);
      return this.step() < this.steps() - 1;
    }, () => this.rate);
    this.schedule();
  }

  selection() { return this.get("selection") ?? {}; }

  select(chosen) { this.set({ selection: chosen ? { ...this.selection(), ...chosen } : {} }); }

  ready() { return Boolean(this.detail); }

  /** Shows the time and whether it plays. */
  showTime(step) {
    const { periods } = this.detail.header;
    const period = periods.find(([, from, to]) => step >= from && step < to)?.[0] ?? "";
    this.clock.show(step, this.steps() - 1, `${words(this.timeOf(step), 6)} ms · ${period}`);
    this.player.textContent = this.playing ? "❚❚" : "▶";
    this.player.ariaLabel = this.playing ? "pause" : "play";
  }
}
