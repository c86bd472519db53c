/** The panels of units and synapses: h, M, and what is selected over time. */

import { limitsOf, words } from "./axes.js";
import {
  clipped, colorBar, drawAxes, drawLine, drawMap, drawPeriods, drawSpread, outline, unitTicks, write,
} from "./drawing.js";
import { Panel, ZOOM } from "./panels.js";
import { OverTime } from "./trial_panels.js";

/** Hidden activity h: units over time, of an item or of a difference (`what`). */
export class Hidden extends OverTime {
  constructor(app, stack, _) {
    super(app, stack, "hidden activity h", "The activity of each hidden unit at each step; a click "
      + "selects the unit too, as Shift and arrow keys do", { grow: 1.35, least: 110, top: 8, bottom: 36 });
    /** @type {any} */
    this.what = null; // a Layer
    this.last = true; // of those below each other
  }

  get header() { return this.what.item.overview.header; }

  get units() { return this.app.order(this.what.item.record, this.header.hidden); }

  domain() { return { x: this.across(), y: [this.header.hidden, 0] }; }

  key() { return [this.app.serial, this.units.join(), this.what.name, this.last]; }

  base(g) {
    const { app, what } = this, { hidden } = this.header, order = this.units, [low, high] = app.extent();
    const scale = what.scale("h");
    this.heading.textContent = app.items.length > 1 ? `h, ${what.name}` : "hidden activity h";
    drawMap(g, hidden, high - low + 1, (i, t) => what.h(low + t, order[i]), scale, this.across(),
      [0, hidden]);
    drawAxes(g, this.last ? this.timeLabel : "", "hidden unit", { yTicks: unitTicks(order, g.y, g.height) });
    colorBar(this, scale, g.theme);
  }

  over(g, step) {
    super.over(g, step);
    const { unit } = this.app.selection(), row = this.units.indexOf(unit);
    const mine = row >= 0 && this.what.item.alike(this.app.items[0]);
    if (mine) clipped(g, () => outline(g, g.X(g.x[0]), g.Y(row), g.X(g.x[1]), g.Y(row + 1)));
    const value = mine ? `; unit ${unit}: ${words(this.what.h(step, unit))}` : "";
    const units = `of ${this.header.hidden} units at ${this.clock(step)}`;
    this.describe(`${this.heading.textContent} ${units}${value}`);
  }

  unitAt(y) { return this.units[Math.min(Math.max(Math.floor(y), 0), this.units.length - 1)]; }

  read({ x, y }) {
    const step = this.app.stepAt(x), unit = this.unitAt(y);
    const of = this.app.items.length > 1 ? ` of ${this.what.name}` : "";
    return `${this.clock(step)}\nunit ${unit}: h${of} = ${words(this.what.h(step, unit))}`;
  }

  pick({ x, y }) {
    this.app.set({ time: this.app.timeAt(x), selection: { ...this.app.selection(), unit: this.unitAt(y) } });
  }

  /** Selects the unit of the next row, or the one before. */
  nudge(_, down) {
    const row = this.units.indexOf(this.app.selection().unit);
    this.app.select({ unit: this.unitAt(row < 0 ? 0 : row + down) });
  }
}

/** M, the effective weights or the change of M at a step: hidden units by inputs (`what`). */
export class Matrix extends Panel {
  constructor(app, stack, k) {
    super(app, stack, "modulations M", "Each synapse at the time shown: from an input (across) to a "
      + `hidden unit (down). Click, or Shift and arrow keys: select a synapse; ${ZOOM}.`,
      { grow: 2, least: 250, bottom: 36 });
    this.first = k === 0;
    /** @type {any} */
    this.what = null; // a Layer, or what stands for it
  }

  get zoom() { return this.app.mapZoom ?? {}; }

  set zoom(zoom) { this.app.mapZoom = zoom; }

  get header() { return this.what.item.overview.header; }

  get units() { return this.app.order(this.what.item.record, this.header.hidden); }

  domain() { return { x: [0, this.header.inputs], y: [this.header.hidden, 0] }; }

  key() { return [this.units.join(), this.header.inputs, this.header.hidden]; }

  base(g) {
    const every = Math.ceil(this.header.inputs / Math.max(2, g.width / 40)), xTicks = [];
    for (let j = 0; j < this.header.inputs; j += every) xTicks.push([j + 0.5, `${j}`]);
    const label = this.first ? "hidden unit" : "";
    drawAxes(g, "input", label, { xTicks, yTicks: unitTicks(this.units, g.y, g.height) });
  }

  over(g, step) {
    const { app, what, units: order } = this, show = app.get("show"), { hidden: n, inputs: d } = this.header;
    const values = what.map(show, step), scale = what.scale(show);
    if (values) {
      this.image = drawMap(g, n, d, (i, j) => values[order[i] * d + j], scale, [0, d], [0, n], this.image);
    } else write(g, what.missing ?? "not known at this time");
    const { unit, input } = app.selection(), row = order.indexOf(unit);
    if (row >= 0 && (!what.item.alike || what.item.alike(app.items[0]))) {
      const from = input ?? 0, to = (input ?? d - 1) + 1;
      clipped(g, () => outline(g, g.X(from), g.Y(row), g.X(to), g.Y(row + 1)));
    }
    colorBar(this, scale, g.theme);
    this.heading.textContent = this.title(show);
    const place = `of ${n} hidden units by ${d} inputs at ${words(app.timeOf(step), 6)} ms`;
    this.describe(`${this.title(show)} ${place}`);
  }

  title(show) {
    const several = this.app.items.length > 1, name = show === "M" && !several ? "modulations M" : show;
    return several ? `${name}, ${this.what.name}` : name;
  }

  synapse({ x, y }) {
    const whole = (value, count) => Math.min(Math.max(Math.floor(value), 0), count - 1);
    return { unit: this.units[whole(y, this.header.hidden)], input: whole(x, this.header.inputs) };
  }

  read(place) {
    const { app, what } = this, { unit, input } = this.synapse(place), show = app.get("show");
    const value = what.map(show, app.step())?.[unit * this.header.inputs + input];
    const of = app.items.length > 1 ? ` of ${what.name}` : "";
    return `unit ${unit}, input ${input}\n${show}${of} = ${words(value)}`;
  }

  pick(place) { this.app.select(this.synapse(place)); }

  /** Selects the synapse beside the one that is selected. */
  nudge(right, down) {
    const { unit, input = 0 } = this.app.selection(), row = this.units.indexOf(unit);
    this.pick(row < 0 ? { x: 0, y: 0 } : { x: input + right, y: row + down });
  }
}

/** The selected synapse or unit over time, of every item that has it. */
export class Trace extends OverTime {
  constructor(app, stack) {
    super(app, stack, "selected over time", "The unit or synapse that was clicked, over the trial",
      { grow: 1, least: 120, bottom: 36 });
  }

  /** What is selected: its name, and a line for each item that has it. */
  chosen() {
    const { app } = this, { unit, input } = app.selection(), show = app.get("show"), { theme } = app;
    if (unit === undefined) return null;
    const ofMap = input !== undefined && app.items.some((item) => item.hasMap(show));
    const having = app.items.filter((item) => item.alike(app.items[0]) && (!ofMap || item.hasMap(show)));
    const lines = having.map((item) => {
      const { hidden: n, inputs: d } = item.overview.header, { h, h_sd, M_sd } = item.detail;
      const values = ofMap ? item.synapse(show, unit, input) : null;
      const spread = ofMap ? (show === "M" && M_sd) : h_sd;
      const size = ofMap ? n * d : n, place = ofMap ? unit * d + input : unit;
      return {
        item, color: item.color?.(theme) ?? theme.select,
        at: ofMap ? (t) => values[t] : (t) => h.data[t * n + unit],
        spread: spread ? (t) => spread.data[t * size + place] : null
      };
    });
    return { name: ofMap ? `${show} of unit ${unit}, input ${input}` : `h of unit ${unit}`, lines };
  }

  key() { return [this.app.serial, this.app.selection(), this.app.get("show")]; }

  domain() {
    const key = JSON.stringify([this.key(), this.app.theme.name]);
    if (key !== this.chosenKey) {
      this.chosenKey = key;
      this.what = this.chosen();
      const all = (this.what?.lines ?? []).flatMap(({ item, at, spread }) => Array.from(
        { length: item.steps }, (_, t) => [at(t) - (spread?.(t) ?? 0), at(t) + (spread?.(t) ?? 0)]).flat());
      this.y = all.length ? limitsOf(all.filter((v) => v === v), 0.1) : [0, 1];
    }
    return { x: this.across(), y: this.y };
  }

  base(g) {
    const { app, what } = this;
    this.heading.textContent = what ? `${what.name}, over time` : "selected over time";
    if (!what) {
      return write(g, app.items.some((item) => item.overview.header.inputs)
        ? "Click a synapse in the map, or a unit in h."
        : "Click a unit in h to see it over time.");
    }
    drawPeriods(g, app);
    clipped(g, () => {
      for (const { item, at, spread, color, dash = item.dash } of what.lines) {
        if (spread) drawSpread(g, item, item.steps, at, spread, color);
        drawLine(g, item, item.steps, at, { color, width: 2.2, dash });
      }
    });
    drawAxes(g, this.timeLabel, "");
  }

  over(g, step) {
    if (!this.what) return this.describe("nothing is selected");
    super.over(g, step);
    this.describe(`${this.what.name} at ${this.read({ x: this.app.timeOf(step) }).replaceAll("\n", ": ")}`);
  }

  read({ x }) {
    const step = this.app.stepAt(x);
    return this.what && [this.clock(step), ...this.what.lines.map(({ item, at, name }) => {
      const t = item.at(step);
      return `${name ?? this.letter(item).trim()} ${words(t === null ? NaN : at(t))}`.trim();
    })].join("\n");
  }

  pick(place) { if (this.what) super.pick(place); }
}
