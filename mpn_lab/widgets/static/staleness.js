/** StalenessExplorer: stored and replayed states under one cursor, their distances, and Q of both. */

import { conditionColor, limitsOf, words } from "./axes.js";
import { make, menu, slider } from "./controls.js";
import {
  clipped, drawAxes, drawCursor, drawLine, drawMap, drawPeriods, outline, write,
} from "./drawing.js";
import { Item } from "./items.js";
import { Matrix, Trace } from "./map_panels.js";
import { Outputs, OverTime } from "./trial_panels.js";
import { Trials } from "./trials.js";

const TRAITS = ["time", "trial", "age", "strategy", "measure", "order", "selection"];
const DASH = [5, 3];
const DECADES = [0, 0.01, 0.1, 1, 10, 100, 1e3, 1e4];
const MAPS = { stored: "stored M", replayed: "replayed M", difference: "difference" };

class StalenessExplorer extends Trials {
  build() {
    const { bar, grid } = super.build(), { header } = this.overview, { measures, without } = header;
    const [time, space, state] = ["time", "space", "state"].map((name) => make("div",
      { className: `mpn-${name}` })), maps = make("div", { className: "mpn-maps mpn-several" });
    grid.append(time, space, state);
    space.append(make("div", { className: "mpn-note" }, header.inputs
      ? "M after the step at this time, which acts at the next step" : without), maps);
    this.controls(bar);
    this.panels = [new BothQ(this, time)];
    for (const of of "MQ") if (measures.relative[of]) this.panels.push(new Distance(this, time, of));
    this.panels.push(new ByAge(this, state));
    if (header.inputs) {
      for (const which of Object.keys(MAPS)) this.panels.push(new Modulations(this, maps, which));
      this.panels.push(new Synapse(this, space));
    } else maps.hidden = true;
    for (const name of TRAITS) this.listen(`change:${name}`, () => this.schedule());
    Object.assign(this.keys, { PageUp: () => this.grow(1), PageDown: () => this.grow(-1) });
  }

  controls(bar) {
    const { header } = this.overview, { strategies, ages, numbers, labels, measures } = header;
    this.aging = slider(bar, "age", "How many updates ago the states were stored (Page Up: older, Page "
      + "Down: younger); replayed states and both Q are computed with the parameters of this age",
      (k) => this.set({ age: ages[k] }));
    const chosen = (trait, label, hint, options, values = (value) => ({ [trait]: value })) => {
      const made = menu(bar, label, hint, (value) => this.set(values(value)));
      made.select.style.maxWidth = "300px";
      return () => made.choices(options, this.get(trait));
    };
    this.menus = [
      chosen("trial", "trial", "The trial: its number, the response and the outcome (arrow keys up and "
        + "down)", numbers.map((n, i) => [n, labels[i]]), (value) => this.frame(Number(value))),
      chosen("strategy", "replayed", `The state from which each window of ${header.window} steps is `
        + "replayed; dotted lines mark where the windows start",
        strategies.map(({ name, label }) => [name, label])),
      chosen("measure", "distance", "Relative distances are divided by the size of the replayed M, and "
        + "by the largest replayed |Q| of the window", Object.keys(measures)),
      chosen("order", "units", "The order of the hidden units in the maps",
        header.inputs ? [["cluster", "clustered"], ["index", "unsorted"]] : []),
    ];
  }

  grow(by) {
    const { ages } = this.overview.header, age = ages[ages.indexOf(this.get("age")) + by];
    if (age !== undefined) this.set({ age });
  }

  order() {
    const { order } = this.overview;
    return this.get("order") === "cluster" ? order.data : order.data.slice().sort();
  }

  /** The colour of a strategy: by the state that it starts from. */
  color(k) {
    const { strategies } = this.overview.header, kinds = [...new Set(strategies.map((s) => s.kind))];
    return conditionColor(this.theme, kinds.indexOf(strategies[k].kind), kinds.length);
  }

  /** Loads a trial and its replayed M; until both are there, what was shown stays. */
  fetch() {
    const { ages, strategies, inputs } = this.overview.header;
    const [trial, age, strategy] = ["trial", "age", "strategy"].map((name) => this.get(name));
    const ask = (number) => [this.load(`trial ${number}`, { ask: "trial", trial: number }), inputs
      ? this.load(`M ${number} ${strategy}`, { ask: "M", trial: number, strategy }) : {}];
    const [found, replayed] = ask(trial), key = JSON.stringify([trial, age, strategy]);
    this.root.toggleAttribute("aria-busy", !(found && replayed));
    if (!found || !replayed || key === this.shown) return;
    const s = strategies.findIndex(({ name }) => name === strategy), a = ages.indexOf(age);
    const detail = /** @type {any} */ ({
      ...found, s, a, M: inputs && part(replayed.M, a), Q: part(found.Q_replayed, s, a),
      Q_stored: part(found.Q_stored, a), flipped: part(found.flipped, s, a), flipped_all: found.flipped,
      greedy: part(found.greedy_replayed, s, a), greedy_stored: part(found.greedy_stored, a)
    });
    this.items = [new Item(0, { overview: this.overview, detail, number: trial, origin: this.origin })];
    this.shown = key;
    this.serial = (this.serial ?? 0) + 1;
    ask(this.next(1));
    ask(this.next(-1));
  }

  /** A synapse at a step: of the stored M_t, the replayed one, or their difference. */
  M(which, step, k) {
    const { M, M_stored } = this.detail, at = step * M.shape[1] * M.shape[2] + k;
    if (which === "difference") return M.data[at] - M_stored.data[at];
    return (which === "stored" ? M_stored : M).data[at];
  }

  draw() {
    this.fetch();
    if (!this.detail) return;
    const { header } = this.overview, step = this.step(), { s, a } = this.detail;
    this.showTime(step);
    this.aging.show(a, header.ages.length - 1, `${header.ages[a]} updates`);
    for (const show of this.menus) show();
    const title = header.titles[this.position(this.get("trial"))].replaceAll("   ", " · ");
    const ago = ` states stored ${header.ages[a]} updates ago`;
    const rest = `${ago}; replayed ${header.strategies[s].label}`;
    if (this.headed !== title + rest) {
      this.headed = title + rest;
      this.title.replaceChildren(make("b", { textContent: title }), rest);
    }
    for (const panel of this.panels) panel.paint(step);
  }
}

/** A part of an array: that at the first indices. */
function part({ data, shape }, ...at) {
  const size = shape.slice(at.length).reduce((product, n) => product * n, 1);
  const start = at.reduce((sum, k, d) => sum * shape[d] + k, 0) * size;
  return { data: data.subarray(start, start + size), shape: shape.slice(at.length) };
}

/** Draws a dotted line where a window starts, or where the M that it starts from is. */
function drawWindows({ c, X, theme, top, height, left, width }, app, earlier = 0) {
  Object.assign(c, { strokeStyle: theme.soft, lineWidth: 1 });
  c.setLineDash([1, 3]);
  c.beginPath();
  for (const step of app.overview.header.starts) {
    const at = step < app.detail.Q.shape[0] ? X(app.timeOf(step - earlier) - app.dt / 2) : -1;
    if (at > left && at < left + width) { c.moveTo(at, top); c.lineTo(at, top + height); }
  }
  c.stroke();
  c.setLineDash([]);
}

/** Q from the replayed and from the stored state, both with the parameters of the age. */
class BothQ extends Outputs {
  constructor(app, stack) {
    super(app, stack);
    Object.assign(this, { top: 26 });
    this.plot.style.flex = "1.7 1 260px";
    this.heading.title += ". Lines: from the replayed state; dashes: from the stored state, with the same "
      + "parameters. Below: the greedy actions of both, framed where they differ, and the correct action";
  }

  rows() {
    const { greedy, greedy_stored: stored, truth } = this.app.detail;
    const rows = [["stored", stored], ["replayed", greedy], ["correct", truth]], [item] = this.app.items;
    return rows.filter(([, { data }]) => data.some((k) => k >= 0)).map((row) => [...row, item]);
  }

  domain() {
    const { Q, Q_stored } = this.app.detail;
    return { x: this.across(), y: limitsOf([...Q.data, ...Q_stored.data]) };
  }

  base(g) {
    super.base(g);
    drawPeriods(g, this.app, { strip: true, tall: 18 });
    const { app, lower } = this, { Q_stored: { data, shape: [steps, count] }, flipped } = app.detail;
    drawWindows({ ...g, height: lower.height }, app);
    clipped(lower, () => this.names.forEach((_, k) => drawLine(lower, app, steps,
      (t) => data[t * count + k], { color: this.color(g, k), dash: DASH, width: 1.4 })));
    Object.assign(g.c, { strokeStyle: g.theme.ink, lineWidth: 1.5 });
    for (let t = 0; t < steps; t++) {
      const at = g.X(app.timeOf(t));
      if (!flipped.data[t] || at < g.left || at > g.left + g.width) continue;
      g.c.strokeRect(at - 6, lower.top + lower.height + 1, 12, 28);
    }
  }

  over(g, step) {
    drawCursor(g, this.app, step);
    const { Q, Q_stored } = this.app.detail, at = (q, k) => words(q.data[step * q.shape[1] + k], 2);
    this.legend([...this.names.map((name, k) => ({ name, color: this.color(g, k), value: at(Q, k) })),
    { name: "replayed state", color: g.theme.soft }, {
      name: "stored state", color: g.theme.soft,
      dash: true
    }]);
    this.describe(`Q at ${this.clock(step)}: ${this.names.map((name, k) => `${name} ${at(Q, k)
      } replayed, ${at(Q_stored, k)} stored`).join("; ")}`);
  }

  read({ x }) {
    const step = this.app.stepAt(x), { Q, Q_stored, flipped } = this.app.detail;
    const at = (q, k) => words(q.data[step * q.shape[1] + k]);
    const lines = this.names.map((name, k) => `${name}: replayed ${at(Q, k)}, stored ${at(Q_stored, k)}`);
    if (flipped.data[step]) lines.push("the greedy actions differ");
    return [this.clock(step), ...lines].join("\n");
  }
}

/** The scale of a distance: linear below 0.01, logarithmic above. */
function squash(distance) { return Math.asinh(distance / 0.01); }

/** A distance between stored and replayed states of a trial: [strategy, age, time]. */
class Distance extends OverTime {
  constructor(app, stack, of, title, sizes) {
    super(app, stack, title ?? `distance of ${app.overview.header.names[of]}`, "How far the replayed "
      + `${of === "M" ? "state is from the stored one, after each step" : "Q is from that of the stored "
        + "state, at each step"}, for every state to replay from; logarithmic above 0.01`,
      sizes ?? { least: 130, bottom: of === "M" ? 20 : 36 });
    this.of = of;
  }

  /** The name and the values of what is measured. */
  found() {
    const { header } = this.app.overview, { measures } = header;
    const name = measures[this.app.get("measure")][this.of], { data, shape } = this.app.detail[name];
    return {
      name, top: header.scales[name], words: header.distances[name],
      at: (s, a, t) => data[(s * shape[1] + a) * shape[2] + t]
    };
  }

  key() { return [this.app.serial, this.app.get("measure")]; }

  domain() { return { x: this.across(), y: [-0.25, squash(this.found().top) * 1.05] }; }

  base(g) {
    const { app } = this, { at, words: label } = this.found(), { s, a, Q } = app.detail;
    drawPeriods(g, app);
    drawWindows(g, app, this.of === "M" ? 1 : 0);
    const { strategies } = app.overview.header, last = [...strategies.keys()].filter((k) => k !== s);
    clipped(g, () => [...last, s].forEach((k) => drawLine(g, app, Q.shape[0], (t) => squash(at(k, a, t)),
      { color: app.color(k), dash: strategies[k].early ? DASH : [], width: k === s ? 3.2 : 1.3 })));
    drawAxes(g, this.of === "Q" ? "time (ms)" : "", label,
      {
        yTicks: DECADES.filter((value) => value !== 0.01 || g.Y(0) - g.Y(squash(value)) > 13)
          .map((value) => [squash(value), words(value)])
      });
  }

  over(g, step) {
    super.over(g, step);
    const { at } = this.found(), { strategies } = this.app.overview.header, { a } = this.app.detail;
    this.legend(strategies.map(({ label, early }, k) => ({
      name: label, dash: early,
      color: this.app.color(k), value: words(at(k, a, step), 2)
    })));
    this.describe(this.read({ x: this.app.timeOf(step) }).replaceAll("\n", "; "));
  }

  read({ x }) {
    const step = this.app.stepAt(x), { at } = this.found(), { a } = this.app.detail;
    const { strategies } = this.app.overview.header;
    const lines = strategies.map(({ label }, k) => `${label}: ${words(at(k, a, step))}`);
    return [this.clock(step), ...lines].join("\n");
  }
}

/** The distance of Q by age and time, for the state that is replayed from. */
class ByAge extends Distance {
  constructor(app, stack) {
    super(app, stack, "Q", "distance of Q by age", { least: 220, bottom: 36 });
    this.heading.title += ". A row for each age, the oldest on top; a dot: the greedy actions of both "
      + "states differ; empty: not defined. A click also chooses the age";
    this.ages = app.overview.header.ages;
  }

  row(y) { return this.ages.length - 1 - Math.min(Math.max(Math.floor(y), 0), this.ages.length - 1); }

  domain() { return { x: this.across(), y: [this.ages.length, 0] }; }

  base(g) {
    const { app, ages } = this, { at, top } = this.found(), { s, Q, flipped_all: flips } = app.detail;
    const count = ages.length, steps = Q.shape[0];
    drawMap(g, count, steps, (row, t) => squash(at(s, count - 1 - row, t)), squash(top), this.across(),
      [0, count]);
    clipped(g, (c) => ages.forEach((_, a) => {
      for (let t = 0; t < steps; t++) {
        if (flips.data[(s * count + a) * steps + t]) {
          dot(c, g.X(app.timeOf(t)), g.Y(count - a - 0.5), g.theme);
        }
      }
    }));
    const every = Math.ceil(count / Math.max(2, g.height / 18));
    drawAxes(g, "time (ms)", "age (updates)", {
      yTicks: ages.map((age, a) => [count - a - 0.5, `${age}`])
        .filter((_, a) => (count - 1 - a) % every === 0)
    });
    const [none, half, most] = g.theme.diverging.slice(2).map((color) => `rgb(${color.join(" ")})`);
    const bar = (from, to) => make("i", {
      className: "mpn-bar mpn-half", style: `background: linear-gradient(90deg, ${from}, ${to})`
    });
    const middle = words(0.01 * Math.sinh(squash(top) / 2), 2); // the scale is not linear
    this.note.replaceChildren("0", bar(none, half), middle, bar(half, most), words(top));
  }

  over(g, step) {
    drawCursor(g, this.app, step);
    const row = this.ages.length - 1 - this.app.detail.a;
    outline(g, g.left + 2, g.Y(row) + 2, g.left + g.width - 2, g.Y(row + 1) - 2);
    const { at } = this.found(), { s } = this.app.detail;
    const values = this.ages.map((age, a) => `${age}: ${words(at(s, a, step))}`).join(", ");
    this.describe(`distance of Q at ${this.clock(step)}, by age: ${values}`);
  }

  read({ x, y }) {
    const step = this.app.stepAt(x), a = this.row(y), { at } = this.found();
    return `${this.clock(step)}\n${this.ages[a]} updates: ${words(at(this.app.detail.s, a, step))}`;
  }

  pick({ x, y }) { this.app.set({ time: this.app.timeAt(x), age: this.ages[this.row(y)] }); }
}

/** M_t as a map: stored, replayed, or their difference. */
class Modulations extends Matrix {
  constructor(app, stack, which) {
    super(app, stack, Object.keys(MAPS).indexOf(which));
    const { overview } = app, size = overview.header.hidden * overview.header.inputs;
    const out = new Float32Array(size), map = (_, step) => {
      for (let k = 0; k < size; k++) out[k] = app.M(which, step, k);
      return step < app.items[0].steps - 1 ? out : null;
    };
    this.left = 42;
    this.heading.title = `${which === "difference" ? "Replayed M minus stored M" : MAPS[which]}, after the `
      + `step at the time shown (M_t, which acts at the next step). ${this.heading.title}`;
    this.what = {
      name: MAPS[which], item: { overview }, scale: () => overview.header.scales.M, map,
      missing: "no M: the trial ends"
    };
  }

  title() { return this.what.name; }

  read(place) {
    const { app } = this, { unit, input } = this.synapse(place), k = unit * this.header.inputs + input;
    const value = (which) => words(app.M(which, app.step(), k));
    const lines = Object.entries(MAPS).map(([which, name]) => `${name}: ${value(which)}`);
    return [`unit ${unit}, input ${input}`, ...lines].join("\n");
  }
}

/** The selected synapse over the trial: replayed as a line, stored as dashes. */
class Synapse extends Trace {
  key() { return [this.app.serial, this.app.selection()]; }

  chosen() {
    const { app } = this, { unit, input } = app.selection();
    if (unit === undefined) return null;
    const along = (which) => (t) => app.M(which, t, unit * app.overview.header.inputs + input);
    const [item] = app.items, { theme } = app, lines = [["replayed", theme.select, []],
    ["stored", theme.ink, DASH]].map(([name, color, dash]) => ({
      item, name, color, dash,
      at: along(name)
    }));
    return { name: `M of unit ${unit}, input ${input}`, lines };
  }

  base(g) {
    if (!this.what) return write(g, "Click a synapse in a map to see it over time.");
    super.base(g);
    this.legend(this.what.lines);
  }
}

/** Marks a place of a map with a dot that is seen on any colour. */
function dot(c, x, y, theme) {
  for (const [color, half] of [[theme.paper, 2.5], [theme.ink, 1.5]]) {
    c.fillStyle = color;
    c.fillRect(x - half, y - half, 2 * half, 2 * half);
  }
}

export function mount(root, model) {
  const app = root.mpn = new StalenessExplorer(root, model);
  return () => app.end();
}

export default { render: ({ model, el }) => mount(el, model) };
