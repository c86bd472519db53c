/** Trajectories of the trials, and of what is compared, in two principal components. */

import { conditionColor, limitsOf, words } from "./axes.js";
import { menu } from "./controls.js";
import { clipped, disc, drawAxes, nearestPoint, write } from "./drawing.js";
import { Panel, ZOOM } from "./panels.js";

const OF_ACTIONS = ["correct_response", "response", "ideal_response"];

/** Trajectories of one record, `what`, and items in the same components; the first has the menus. */
export class Trajectories extends Panel {
  constructor(app, stack, k) {
    super(app, stack, "trajectories", "The state of every trial at every step, in principal "
      + `components. Click a path: go to that trial; ${ZOOM}.`, { grow: 1, least: 300, bottom: 36 });
    this.what = ""; // the name of the record
    this.alone = true;
    if (k) return;
    const { header } = app.overview;
    this.variable = menu(this.tools, "of", "The variable whose components these are",
      (variable) => { this.zoom = {}; app.set({ variable, components: [1, 2] }); });
    this.axes = [0, 1].map((axis) => menu(this.tools, "xy"[axis], `The component on the ${"xy"[axis]} axis`,
      (value) => {
        const components = [...app.get("components")];
        components[axis] = Number(value);
        this.zoom = {};
        app.set({ components });
      }));
    this.color = menu(this.tools, "colour", "What colours the trials",
      (value) => app.set({ color_by: value }));
    this.color.choices([["", "none"], ...header.colors.map((name) => [name, name.replaceAll("_", " ")])],
      app.get("color_by"));
  }

  get record() { return this.app.recordOf(this.what); }

  /** The variable shown: the one chosen, or h of a record that lacks it. */
  variableOf(record) {
    const variable = this.app.get("variable");
    return record?.header.variables.includes(variable) ? variable : "h";
  }

  /** What is known of the components of a record; null until the kernel has answered. */
  found(name = this.what) {
    const variable = this.variableOf(this.record);
    return this.app.load(`components ${name} ${variable}`, { ask: "components", variable, record: name });
  }

  /** A component (0: across, 1: up) of the trial at a position, at its steps. */
  along({ trajectory: { data, shape } }, i, axis, steps) {
    const component = this.app.get("components")[axis] - 1, last = shape[2];
    return Float32Array.from({ length: steps }, (_, t) => (component < last
      ? data[(i * shape[1] + t) * last + component] : 0));
  }

  /** The paths of the trials that the filters leave, each [xs, ys] in units of the components. */
  paths() {
    const { app, record } = this, found = record && this.found(), key = JSON.stringify([this.what,
    app.get("variable"), app.get("components"), app.get("where"), Boolean(found)]);
    if (key !== this.pathsKey && found) {
      this.pathsKey = key;
      const { lengths } = record.header;
      this.kept = app.left().map((i) => ({
        i, xs: this.along(found, i, 0, lengths[i]),
        ys: this.along(found, i, 1, lengths[i])
      }));
      this.home = { x: limitsOf(everything(this.kept, "xs")), y: limitsOf(everything(this.kept, "ys")) };
      this.serial = (this.serial ?? 0) + 1;
    }
    return found && key === this.pathsKey ? this.kept : [];
  }

  /** The limits of all trials, and of what is shown. */
  domain() {
    if (!this.paths().length) return { x: [-1, 1], y: [-1, 1] };
    const ways = this.own().map((item) => this.path(item)).filter(Boolean);
    const wide = (home, axis) => limitsOf([...home, ...ways.flatMap((path) => limitsOf(path[axis]))], 0);
    return { x: wide(this.home.x, 0), y: wide(this.home.y, 1) };
  }

  /** The items in these components. */
  own() {
    const axes = this.record?.header.axes;
    return this.app.items.filter(({ overview: { header } }) => header.axes === axes);
  }

  key() {
    const count = this.paths().length;
    return [this.serial, this.app.get("color_by"), count, this.alone];
  }

  /** The colour of a trial, and the entries of the legend. */
  coloring(theme) {
    const { header } = this.record ?? this.app.overview, name = this.app.get("color_by");
    const condition = header.conditions[name];
    if (!condition) return { of: () => theme.soft, entries: [] };
    if (condition.values) {
      const known = condition.values.filter((v) => v !== null), low = Math.min(...known);
      const high = Math.max(...known), share = (v) => (v - low) / (high - low || 1);
      return {
        of: (i) => (condition.values[i] === null ? theme.soft
          : conditionColor(theme, share(condition.values[i]) * 99, 100)),
        entries: [low, (low + high) / 2, high].map((v) => ({
          name: words(v),
          color: conditionColor(theme, share(v) * 99, 100)
        }))
      };
    }
    const { labels, code } = condition, color = (k) => (OF_ACTIONS.includes(name)
      ? theme.actions[k % theme.actions.length] : conditionColor(theme, k, labels.length));
    return {
      of: (i) => (code[i] < 0 ? theme.soft : color(code[i])),
      entries: labels.map((label, k) => ({ name: label, color: color(k) }))
        .filter((_, k) => code.includes(k))
    };
  }

  base(g) {
    const paths = this.paths(), { app } = this, { of, entries } = this.coloring(g.theme);
    const share = this.record && this.found()?.header.shares, label = (k) => {
      const number = app.get("components")[k], of_ = share?.[number - 1];
      return `PC ${number}${Number.isFinite(of_) ? ` (${Math.round(of_ * 100)} % of variance)` : ""}`;
    };
    this.heading.textContent = this.alone ? "trajectories"
      : `trajectories of ${this.variableOf(this.record)}, ${this.what}`;
    this.pixels = paths.map(({ xs, ys }) => ({ xs: xs.map(g.X), ys: ys.map(g.Y) }));
    clipped(g, (c) => {
      c.lineWidth = 1;
      const alpha = Math.min(0.55, 14 / paths.length + 0.16);
      this.pixels.forEach(({ xs, ys }, k) => {
        c.globalAlpha = alpha;
        c.strokeStyle = c.fillStyle = of(paths[k].i);
        trace(c, xs, ys, xs.length);
        c.stroke();
        c.globalAlpha = Math.min(1, alpha * 2);
        disc(c, xs.at(-1), ys.at(-1), 2.2);
        c.fill();
      });
      c.globalAlpha = 1;
    });
    drawAxes(g, label(0), label(1));
    this.entries = entries;
    if (!paths.length) write(g, "The kernel computes the components.");
  }

  over(g, step) {
    const { app } = this, paths = this.paths(), own = this.own();
    clipped(g, (c) => {
      if (this.hovered) {
        const { xs, ys } = this.pixels[this.hovered[0]] ?? { xs: [], ys: [] };
        trace(c, xs, ys, xs.length);
        Object.assign(c, { strokeStyle: g.theme.select, lineWidth: 2 });
        c.stroke();
      }
      if (paths.length) for (const item of own.toReversed()) this.way(g, item, step);
    });
    const name = app.get("color_by").replaceAll("_", " ");
    this.legend(this.entries?.length ? [{ name, note: true }, ...this.entries] : []);
    const of = named(this.variableOf(this.record), this.record?.header.logits);
    this.describe(`trajectories of ${of}${this.alone ? "" : `, ${this.what}`}, of ${paths.length} trials`);
    if (!this.axes) return;
    const { trajectory } = this.found() ?? {};
    const count = Array.from({ length: trajectory?.shape[2] ?? 2 }, (_, k) => String(k + 1));
    app.get("components").forEach((component, k) => this.axes[k].choices(count, component));
    const { variables, logits } = this.record?.header ?? app.overview.header;
    this.variable.choices(variables.map((name) => [name, named(name, logits)]), this.variableOf(this.record));
    this.color.select.value = app.get("color_by");
  }

  /** The path of an item: of its trial, or the mean of its trials at each step. */
  path(item) {
    const key = JSON.stringify([this.app.serial, this.app.get("variable"), this.app.get("components")]);
    const found = this.found(item.record);
    if (!found || item.pathKey === key) return found && item.path;
    const { app } = this, { header } = item.overview, long = ([...item.trials ?? [item.number]])
      .map((number) => ({ i: app.position(number), first: app.firstOf(number, item.overview) }))
      .filter(({ i }) => !item.trials || (header.starts[app.get("align")]?.[i] ?? 0) >= 0);
    const ways = long.map(({ i, first }) => ({
      first, both: [0, 1].map((axis) =>
        this.along(found, i, axis, header.lengths[i]))
    }));
    const mean = (axis) => Float32Array.from({ length: item.steps }, (_, t) => {
      let sum = 0, count = 0;
      for (const { first, both } of ways) {
        const value = both[axis][item.first + t - first];
        if (Number.isFinite(value)) { sum += value; count += 1; }
      }
      return sum / count;
    });
    Object.assign(item, { pathKey: key, path: [mean(0), mean(1)] });
    return item.path;
  }

  /** Draws the path of an item: thick to the present step, thin beyond, with periods at their starts. */
  way(g, item, step) {
    const path = this.path(item), { c, theme } = g;
    if (!path) return;
    const x = path[0].map(g.X), y = path[1].map(g.Y), last = item.at(step), until = (last ?? -1) + 1;
    const ink = item.color?.(theme) ?? theme.ink, several = this.app.items.length > 1;
    Object.assign(c, { lineJoin: "round", lineCap: item.dash.length ? "butt" : "round" });
    for (const [color, wide, count] of [[theme.paper, 4, x.length], [ink, 1.2, x.length],
    [theme.paper, 5.4, until], [ink, 2.8, until]]) {
      c.setLineDash(color === ink ? item.dash : []);
      trace(c, x, y, count);
      Object.assign(c, { strokeStyle: color, lineWidth: wide });
      c.stroke();
    }
    c.setLineDash([]);
    if (item.k === 0) this.names(g, item, x, y);
    if (last === null) return;
    disc(c, x[last], y[last], several ? 8 : 5.5);
    Object.assign(c, { fillStyle: theme.paper, strokeStyle: ink, lineWidth: 2.4 });
    c.fill();
    c.stroke();
    Object.assign(c, { fillStyle: theme.ink, textAlign: "center", textBaseline: "middle" });
    if (several) c.fillText(item.letter, x[last], y[last] + 0.5);
  }

  /** Marks where the periods of an item start, with their names where there is room. */
  names({ c, theme, left, width }, item, x, y) {
    const placed = [];
    c.textBaseline = "bottom";
    for (const [name, start] of item.detail.header.periods) {
      if (!(start >= 0 && start < x.length)) continue;
      disc(c, x[start], y[start], 3);
      Object.assign(c, { fillStyle: theme.ink, strokeStyle: theme.paper, lineWidth: 3 });
      c.fill();
      if (placed.some(([a, b]) => Math.abs(a - x[start]) < 60 && Math.abs(b - y[start]) < 14)) continue;
      placed.push([x[start], y[start]]);
      const beside = x[start] + 8 + c.measureText(name).width < left + width;
      c.textAlign = beside ? "left" : "right";
      const at = [name, x[start] + (beside ? 6 : -6), y[start] - 3];
      c.strokeText(...at);
      c.fillText(...at);
    }
  }

  read(place) {
    this.hovered = nearestPoint(this.pixels ?? [], place, 9);
    if (!this.hovered) return null;
    const [k, t] = this.hovered, { i } = this.paths()[k], { app, record: { header } } = this;
    const name = app.get("color_by"), { labels: classes, code, values } = header.conditions[name] ?? {};
    const value = values ? words(values[i]) : classes?.[code[i]], number = header.numbers[i];
    return [`trial ${header.labels[i]}`, `${words(app.timeOf(app.firstOf(number, this.record) + t), 6)} ms`,
    ...(value === undefined ? [] : [`${name.replaceAll("_", " ")}: ${value}`])].join("\n");
  }

  pick(place) {
    const found = nearestPoint(this.pixels ?? [], place, 9);
    if (!found) return;
    const { app } = this, trial = app.overview.header.numbers[this.paths()[found[0]].i];
    app.set({ ...app.frame(trial, app.timeOf(app.firstOf(trial, this.record) + found[1])), view: "trial" });
  }
}

/** A variable's name in words. */
function named(variable, logits) { return variable === "Q" && logits ? "logits" : variable; }

function* everything(paths, name) { for (const path of paths) yield* path[name]; }

/** Begins a path through points. */
function trace(c, xs, ys, count) {
  c.beginPath();
  for (let t = 0; t < count; t++) c.lineTo(xs[t], ys[t]);
}
