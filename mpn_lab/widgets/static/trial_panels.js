/** The panels of a trial. */

import { channelColor, conditionColor, limitsOf, words } from "./axes.js";
import { menu } from "./controls.js";
import {
  Panel, clipped, colorBar, drawAxes, drawCursor, drawLine, drawMap, drawPeriods, drawSpread,
  nearestPoint, unitTicks,
} from "./panels.js";
import { matrixAt, modulations } from "./payload.js";

const MANY = 10; // channels or actions: more are no longer told apart as lines
const ROW = 15; // pixels of a row of actions
const GONE = "zoom: drag, or wheel with Ctrl; all: double click";

/** A panel over the time of the trial; all share their zoom. */
export class OverTime extends Panel {
  constructor(app, stack, title, hint, sizes) {
    super(app, stack, title, `${hint}. Click: go to that time; ${GONE}; drag with Shift: a span.`,
      sizes);
    this.flat = true;
  }

  get zoom() { return this.app.timeZoom ?? {}; }

  set zoom(zoom) { this.app.timeZoom = zoom.x ? { x: zoom.x } : {}; }

  across() {
    const { app } = this, last = app.detail.Q.shape[0] - 1;
    return [app.timeOf(0) - app.dt / 2, app.timeOf(last) + app.dt / 2];
  }

  stepAt(x) {
    const { app } = this, step = Math.round((x - app.timeOf(0)) / app.dt);
    return Math.min(Math.max(step, 0), app.detail.Q.shape[0] - 1);
  }

  key() { return this.app.serial; }

  pick({ x }) { this.app.go(this.stepAt(x)); }

  over(g, step) { drawCursor(g, this.app, step); }

  clock(step) { return `${words(this.app.timeOf(step), 6)} ms`; }
}

/** Observations: a line for each channel, or a map of many. */
export class Inputs extends OverTime {
  constructor(app, stack) {
    super(app, stack, "observations", "What the network observes at each step, by channel",
      { grow: 1, least: 128, top: 24, bottom: 22 });
    this.names = app.overview.header.channels;
    this.many = this.names.length > MANY;
  }

  domain() {
    const { obs } = this.app.detail;
    return { x: this.across(), y: this.many ? [this.names.length, 0] : limitsOf(obs.data, 0.08) };
  }

  base(g) {
    const { app, names } = this, { data, shape } = app.detail.obs, [steps, count] = shape;
    const spread = app.detail.obs_sd?.data;
    drawPeriods(g, app, { strip: this.many, tall: 18 });
    if (this.many) {
      const scale = app.overview.header.scales.obs;
      drawMap(g, count, steps, (k, t) => data[t * count + k], scale, this.across(), [0, count]);
      colorBar(this, scale, g.theme);
    } else {
      clipped(g, () => names.forEach((name, k) => {
        const at = (t) => data[t * count + k], color = channelColor(g.theme, names, k);
        if (spread) drawSpread(g, app, steps, at, (t) => spread[t * count + k], color);
        drawLine(g, app, steps, at,
          { color, stairs: true, dash: name === "fixation" ? [5, 3] : [] });
      }));
    }
    drawAxes(g, "", this.many ? "channel" : "value");
  }

  over(g, step) {
    super.over(g, step);
    const { data, shape } = this.app.detail.obs, now = (k) => data[step * shape[1] + k];
    if (!this.many) {
      this.legend(this.names.map((name, k) => ({ name, value: words(now(k), 2),
        color: channelColor(g.theme, this.names, k), dash: name === "fixation" })));
    }
    this.describe(`observations at ${this.clock(step)}: ${this.names.slice(0, MANY)
      .map((name, k) => `${name} ${words(now(k), 2)}`).join(", ")}`);
  }

  read({ x, y }) {
    const step = this.stepAt(x), { data, shape } = this.app.detail.obs;
    const line = (k) => `${this.names[k]}: ${words(data[step * shape[1] + k])}`;
    if (this.many) {
      const k = Math.min(Math.max(Math.floor(y), 0), shape[1] - 1);
      return `${this.clock(step)}\n${line(k)}`;
    }
    return [this.clock(step), ...this.names.map((_, k) => line(k))].join("\n");
  }
}

/** Q or logits of the actions; the actions taken and correct, and the rewards. */
export class Outputs extends OverTime {
  constructor(app, stack) {
    const { logits } = app.overview.header, what = logits ? "logits of actions" : "action values Q";
    super(app, stack, what, `${logits ? "The logit" : "The value Q"} of each action; a dot marks the `
      + "greedy action, the one with the largest", { grow: 1.25, least: 190, bottom: 22 });
    this.what = logits ? "logit" : "Q";
    this.names = app.overview.header.actions;
  }

  color(g, k) { return g.theme.actions[k % g.theme.actions.length]; }

  /** The rows below the lines: those that this trial or mean has. */
  rows() {
    const { taken, truth, reward } = this.app.detail, known = (a) => a?.data.some((v) => v >= 0);
    return [["taken", known(taken) && taken], ["correct", known(truth) && truth],
      ["reward", reward?.data.some((v) => v) && reward]].filter(([, row]) => row);
  }

  domain() {
    const { Q, Q_sd } = this.app.detail, { scales } = this.app.overview.header;
    const wide = Q_sd ? Math.max(...Q_sd.data.filter((v) => v === v), 0) : 0;
    const [low, high] = this.app.shownView === "difference" ? limitsOf(Q.data)
      : limitsOf([scales.Q[0] - wide, scales.Q[1] + wide]);
    return { x: this.across(), y: [low, high] };
  }

  base(g) {
    const { app } = this, { Q, Q_sd, greedy, truth, reward } = app.detail;
    const [steps, count] = Q.shape, rows = this.rows(), { c, X } = g;
    const lower = { ...g, height: g.height - rows.length * ROW };
    const scale = (v) => lower.top + lower.height * (g.y[1] - v) / (g.y[1] - g.y[0]);
    scale.invert = g.Y.invert;
    lower.Y = scale;
    drawPeriods(g, app);
    clipped(lower, () => {
      for (let k = 0; k < count; k++) {
        const at = (t) => Q.data[t * count + k], color = this.color(g, k);
        if (Q_sd) drawSpread(lower, app, steps, at, (t) => Q_sd.data[t * count + k], color);
        drawLine(lower, app, steps, at, { color });
      }
    });
    for (let t = 0; greedy && t < steps; t++) {
      const at = X(app.timeOf(t)), k = greedy.data[t];
      if (k < 0 || at < g.left || at > g.left + g.width) continue;
      c.beginPath();
      c.arc(at, lower.Y(Q.data[t * count + k]), 2.6, 0, 7);
      c.fillStyle = this.color(g, k);
      c.fill();
    }
    drawAxes({ ...lower, Y: lower.Y }, "", this.what, { bottom: g.top + g.height });
    const wide = Math.max(1, Math.min(9, Math.abs(X(app.dt) - X(0)) - 1));
    this.free = false;
    rows.forEach(([label, row], r) => {
      const y = lower.top + lower.height + (r + 0.5) * ROW;
      c.fillStyle = g.theme.soft;
      c.textAlign = "right";
      c.textBaseline = "middle";
      c.fillText(label, g.left - 7, y);
      for (let t = 0; t < steps; t++) {
        const at = X(app.timeOf(t)), value = row.data[t];
        if (at < g.left || at > g.left + g.width) continue;
        if (label === "reward") {
          const tall = Math.min(1, Math.abs(value) / app.overview.header.scales.reward) * 6;
          c.fillStyle = g.theme.ink;
          if (value) c.fillRect(at - wide / 2, value > 0 ? y - tall : y, wide, tall);
        } else if (value >= 0) {
          const free = label === "taken" && truth && isFree(t, value, truth.data, reward?.data);
          this.free ||= free;
          c.globalAlpha = free ? 0.3 : 1;
          c.fillStyle = this.color(g, value);
          c.fillRect(at - wide / 2, y - 4.5, wide, 9);
          c.globalAlpha = 1;
        }
      }
    });
    c.strokeStyle = g.theme.line;
    c.strokeRect(g.left + 0.5, g.top + 0.5, g.width - 1, g.height - 1);
    this.lower = lower;
  }

  over(g, step) {
    super.over(g, step);
    const { Q, reward } = this.app.detail, count = Q.shape[1], { c } = g, at = g.X(this.app.timeOf(step));
    for (let k = 0; k < count && at >= g.left && at <= g.left + g.width; k++) {
      c.beginPath();
      c.arc(at, this.lower.Y(Q.data[step * count + k]), 4.5, 0, 7);
      Object.assign(c, { fillStyle: this.color(g, k), strokeStyle: g.theme.paper, lineWidth: 1.5 });
      c.fill();
      c.stroke();
    }
    const entries = this.names.slice(0, MANY).map((name, k) => ({ name, color: this.color(g, k),
      value: words(Q.data[step * count + k], 2) }));
    if (this.free) entries.push({ name: "faded: before the decision, at no cost", note: true });
    this.legend(entries);
    const now = entries.filter(({ note }) => !note).map(({ name, value }) => `${name} ${value}`);
    const got = reward ? `; reward ${words(reward.data[step], 2)}` : "";
    this.describe(`${this.what} at ${this.clock(step)}: ${now.join(", ")}${got}`);
  }

  read({ x }) {
    const step = this.stepAt(x), { Q, taken, truth, reward } = this.app.detail, { names } = this;
    const lines = names.map((name, k) => `${name}: ${words(Q.data[step * names.length + k])}`);
    if (taken?.data[step] >= 0) lines.push(`taken: ${names[taken.data[step]]}`);
    if (truth?.data[step] >= 0) lines.push(`correct action: ${names[truth.data[step]]}`);
    if (reward) lines.push(`reward: ${words(reward.data[step])}`);
    return [this.clock(step), ...lines].join("\n");
  }
}

/** Whether an action that is not the correct one came before the decision and cost nothing. */
export function isFree(step, taken, truth, reward) {
  const before = truth[step] === truth[0] && step < truth.length - 1; // the last is the response
  return before && truth[0] >= 0 && taken !== truth[step] && reward?.[step] === 0;
}

/** Hidden activity h: units over time. */
export class Hidden extends OverTime {
  constructor(app, stack) {
    super(app, stack, "hidden activity h", "The activity of each hidden unit at each step; a click "
      + "selects the unit too", { grow: 1.35, least: 190, top: 8, bottom: 36 });
  }

  domain() { return { x: this.across(), y: [this.app.overview.header.hidden, 0] }; }

  key() { return [this.app.serial, this.app.get("order"), this.app.order() === this.app.plain]; }

  base(g) {
    const { app } = this, { data, shape } = app.detail.h, [steps, n] = shape, order = app.order();
    const scale = app.overview.header.scales.h;
    drawMap(g, n, steps, (i, t) => data[t * n + order[i]], scale, this.across(), [0, n]);
    drawAxes(g, "time (ms)", "hidden unit", { yTicks: unitTicks(order, g.y, g.height) });
    colorBar(this, scale, g.theme);
  }

  over(g, step) {
    super.over(g, step);
    const { unit } = this.app.selection(), row = this.app.order().indexOf(unit);
    if (row >= 0) clipped(g, () => outline(g, g.X(g.x[0]), g.Y(row), g.X(g.x[1]), g.Y(row + 1)));
    this.describe(`hidden activity of ${this.app.overview.header.hidden} units at ${this.clock(step)}`);
  }

  unitAt(y) {
    const order = this.app.order();
    return order[Math.min(Math.max(Math.floor(y), 0), order.length - 1)];
  }

  read({ x, y }) {
    const step = this.stepAt(x), unit = this.unitAt(y), { data, shape } = this.app.detail.h;
    return `${this.clock(step)}\nunit ${unit}: h = ${words(data[step * shape[1] + unit])}`;
  }

  pick({ x, y }) {
    this.app.set({ time: this.app.timeOf(this.stepAt(x)), selection: { ...this.app.selection(),
      unit: this.unitAt(y) } });
  }
}

/** M, the effective weights or the change of M at a step: hidden units by inputs. */
export class Matrix extends Panel {
  constructor(app, stack, orders) {
    super(app, stack, "modulations M", `Each synapse at the time shown: from an input (across) to a `
      + `hidden unit (down). Click: select a synapse; ${GONE}.`, { grow: 2, least: 250, bottom: 36 });
    const { shows, hidden, inputs } = app.overview.header;
    Object.assign(this, { n: hidden, d: inputs, out: new Float32Array(hidden * inputs) });
    this.show = menu(this.tools, "show", "What the map shows", (show) => app.set({ show }));
    this.show.choices(Object.keys(shows), app.get("show"));
    this.sort = menu(this.tools, "units", "The order of the hidden units, here and in h",
      (order) => app.set({ order }));
    this.sort.choices(orders, app.get("order"));
  }

  domain() { return { x: [0, this.d], y: [this.n, 0] }; }

  key() { return [this.app.get("order"), this.app.order() === this.app.plain]; }

  values(step) {
    const { app } = this, { modulation } = app.overview.header;
    return matrixAt(app.get("show"), step, app.detail, app.overview, modulation === "multiplicative",
      this.out);
  }

  base(g) {
    const { app } = this, every = Math.ceil(this.d / Math.max(2, g.width / 40)), xTicks = [];
    for (let j = 0; j < this.d; j += every) xTicks.push([j + 0.5, `${j}`]);
    drawAxes(g, "input", "hidden unit", { xTicks, yTicks: unitTicks(app.order(), g.y, g.height) });
  }

  over(g, step) {
    const { app, n, d } = this, order = app.order(), values = this.values(step), show = app.get("show");
    const scale = app.overview.header.scales[show];
    this.image = drawMap(g, n, d, (i, j) => values[order[i] * d + j], scale, [0, d], [0, n], this.image);
    const { unit, input } = app.selection(), row = order.indexOf(unit);
    if (row >= 0) {
      const from = input ?? 0, to = (input ?? d - 1) + 1;
      clipped(g, () => outline(g, g.X(from), g.Y(row), g.X(to), g.Y(row + 1)));
    }
    colorBar(this, scale, g.theme);
    this.heading.textContent = app.shownView === "difference" ? `${show}, difference`
      : { M: "modulations M" }[show] ?? show;
    this.show.select.value = show;
    this.sort.select.value = app.get("order");
    this.describe(`${show} of ${n} hidden units by ${d} inputs at ${words(app.timeOf(step), 6)} ms`);
  }

  synapse({ x, y }) {
    const input = Math.min(Math.max(Math.floor(x), 0), this.d - 1), order = this.app.order();
    return { unit: order[Math.min(Math.max(Math.floor(y), 0), this.n - 1)], input };
  }

  read(place) {
    const { unit, input } = this.synapse(place), value = this.values(this.app.step())[unit * this.d
      + input];
    return `unit ${unit}, input ${input}\n${this.app.get("show")} = ${words(value)}`;
  }

  pick(place) { this.app.select(this.synapse(place)); }
}

/** The selected synapse or unit over time. */
export class Trace extends OverTime {
  constructor(app, stack) {
    super(app, stack, "selected over time", "The unit or synapse that was clicked, over the trial",
      { grow: 1, least: 120, bottom: 36 });
  }

  /** What is selected: its name, and its value at each step. */
  chosen() {
    const { app } = this, { unit, input } = app.selection(), { h } = app.detail, n = h.shape[1];
    if (unit === undefined) return null;
    const M = input === undefined ? null : modulations(app.detail, app.overview);
    if (!M) return { name: `h of unit ${unit}`, at: (t) => h.data[t * n + unit] };
    const d = M.shape[2], show = app.get("show"), { modulation } = app.overview.header;
    const out = new Float32Array(n * d), values = Float32Array.from({ length: M.shape[0] }, (_, t) =>
      matrixAt(show, t, app.detail, app.overview, modulation === "multiplicative", out)[unit * d + input]);
    return { name: `${show} of unit ${unit}, input ${input}`, at: (t) => values[t] };
  }

  key() { return [this.app.serial, this.app.selection(), this.app.get("show")]; }

  domain() {
    const key = JSON.stringify(this.key());
    if (key !== this.chosenKey) {
      this.chosenKey = key;
      this.what = this.chosen();
      const steps = this.app.detail.Q.shape[0];
      this.y = this.what ? limitsOf(Array.from({ length: steps }, (_, t) => this.what.at(t)), 0.1) : [0, 1];
    }
    return { x: this.across(), y: this.y };
  }

  base(g) {
    const { app, what } = this;
    this.heading.textContent = what ? `${what.name}, over time` : "selected over time";
    if (!what) {
      Object.assign(g.c, { fillStyle: g.theme.soft, textAlign: "center", textBaseline: "middle" });
      const text = app.overview.header.inputs ? "Click a synapse in the map, or a unit in h."
        : "Click a unit in h to see it over time.";
      g.c.fillText(text, g.left + g.width / 2, g.top + g.height / 2);
      return;
    }
    drawPeriods(g, app);
    clipped(g, () => drawLine(g, app, app.detail.Q.shape[0], what.at, { color: g.theme.select,
      width: 2.2 }));
    drawAxes(g, "time (ms)", "");
  }

  over(g, step) {
    if (!this.what) return this.describe("nothing is selected");
    super.over(g, step);
    this.describe(`${this.what.name} at ${this.clock(step)}: ${words(this.what.at(step))}`);
  }

  read({ x }) {
    const step = this.stepAt(x);
    return this.what && `${this.clock(step)}\n${words(this.what.at(step))}`;
  }

  pick(place) { if (this.what) super.pick(place); }
}

/** The trials' trajectories in two principal components. */
export class Trajectories extends Panel {
  constructor(app, stack) {
    super(app, stack, "trajectories", "The state of every trial at every step, in principal "
      + `components. Click a path: go to that trial; ${GONE}.`, { grow: 1, least: 300, bottom: 36 });
    const { header } = app.overview;
    this.variable = menu(this.tools, "of", "The variable whose components these are",
      (variable) => { this.zoom = {}; app.set({ variable, components: [1, 2] }); });
    this.variable.choices(header.variables, app.get("variable"));
    this.axes = [0, 1].map((k) => menu(this.tools, "xy"[k], `The component on the ${"xy"[k]} axis`,
      (value) => {
        const components = [...app.get("components")];
        components[k] = Number(value);
        this.zoom = {};
        app.set({ components });
      }));
    this.color = menu(this.tools, "colour", "What colours the trials",
      (value) => app.set({ color_by: value }));
    this.color.choices([["", "none"], ...header.colors.map((name) => [name, name.replaceAll("_", " ")])],
      app.get("color_by"));
  }

  /** What is known of the components; null until the kernel has answered. */
  found() {
    const variable = this.app.get("variable");
    return this.app.load(`components ${variable}`, { ask: "components", variable }, true);
  }

  /** The value of a component, of a trial's position at a step. */
  at(i, t, k) {
    const { data, shape } = this.found().trajectory, component = this.app.get("components")[k] - 1;
    return component < shape[2] ? data[(i * shape[1] + t) * shape[2] + component] : 0;
  }

  /** The paths of the trials that the filters leave, each [xs, ys] in units of the components. */
  paths() {
    const { app } = this, found = this.found(), key = JSON.stringify([app.get("variable"),
      app.get("components"), app.get("where"), Boolean(found)]);
    if (key !== this.pathsKey && found) {
      this.pathsKey = key;
      const { lengths } = app.overview.header;
      const along = (i, k) => Float32Array.from({ length: lengths[i] }, (_, t) => this.at(i, t, k));
      this.kept = app.left().map((i) => ({ i, xs: along(i, 0), ys: along(i, 1) }));
      this.home = { x: limitsOf(everything(this.kept, "xs")), y: limitsOf(everything(this.kept, "ys")) };
      this.serial = (this.serial ?? 0) + 1;
    }
    return found ? this.kept : [];
  }

  domain() { return this.paths().length ? this.home : { x: [-1, 1], y: [-1, 1] }; }

  key() {
    this.paths();
    return [this.serial, this.app.get("color_by"), Boolean(this.found())];
  }

  /** The colour of a trial, and the entries of the legend. */
  coloring(theme) {
    const { header } = this.app.overview, name = this.app.get("color_by");
    const condition = header.conditions[name], ofAction = ["correct_response", "response",
      "ideal_response"].includes(name);
    if (!condition) return { of: () => theme.soft, entries: [] };
    if (condition.values) {
      const known = condition.values.filter((v) => v !== null), low = Math.min(...known);
      const high = Math.max(...known), share = (v) => (v - low) / (high - low || 1);
      return { of: (i) => (condition.values[i] === null ? theme.soft
        : conditionColor(theme, share(condition.values[i]) * 99, 100)),
      entries: [low, (low + high) / 2, high].map((v) => ({ name: words(v),
        color: conditionColor(theme, share(v) * 99, 100) })) };
    }
    const { labels, code } = condition, color = (k) => (ofAction ? theme.actions[k % theme.actions.length]
      : conditionColor(theme, k, labels.length));
    return { of: (i) => (code[i] < 0 ? theme.soft : color(code[i])),
      entries: labels.map((label, k) => ({ name: label, color: color(k) }))
        .filter((_, k) => code.includes(k)) };
  }

  base(g) {
    const paths = this.paths(), { app } = this, { of, entries } = this.coloring(g.theme);
    const share = this.found()?.header.shares ?? [], named = (k) => {
      const number = app.get("components")[k], of_ = share[number - 1];
      return `PC ${number}${Number.isFinite(of_) ? ` (${Math.round(of_ * 100)} % of variance)` : ""}`;
    };
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
        c.beginPath();
        c.arc(xs.at(-1), ys.at(-1), 2.2, 0, 7);
        c.fill();
      });
      c.globalAlpha = 1;
    });
    drawAxes(g, named(0), named(1));
    this.entries = entries;
    if (!paths.length) {
      Object.assign(g.c, { fillStyle: g.theme.soft, textAlign: "center", textBaseline: "middle" });
      g.c.fillText("The kernel computes the components.", g.left + g.width / 2, g.top + g.height / 2);
    }
  }

  over(g, step) {
    const { app } = this, paths = this.paths(), view = app.shownView;
    const own = paths.find(({ i }) => app.overview.header.numbers[i] === app.shownTrial);
    clipped(g, (c) => {
      if (this.hovered) {
        const { xs, ys } = this.pixels[this.hovered[0]] ?? { xs: [], ys: [] };
        trace(c, xs, ys, xs.length);
        Object.assign(c, { strokeStyle: g.theme.select, lineWidth: 2 });
        c.stroke();
      }
      if (view !== "trial" && paths.length) this.way(g, this.mean(paths), step, view !== "mean");
      if (view !== "mean" && own) this.way(g, own, step, false);
    });
    const name = app.get("color_by").replaceAll("_", " ");
    this.legend(this.entries?.length ? [{ name, note: true }, ...this.entries] : []);
    const [first, second] = app.get("components"), { trajectory } = this.found() ?? {};
    const count = Array.from({ length: trajectory?.shape[2] ?? 2 }, (_, k) => String(k + 1));
    this.axes[0].choices(count, first);
    this.axes[1].choices(count, second);
    this.variable.select.value = app.get("variable");
    this.color.select.value = app.get("color_by");
    this.describe(`trajectories of ${app.get("variable")} of ${paths.length} trials`);
  }

  /** Draws a path: thick to the present step, thin beyond, with the periods' names at their starts. */
  way(g, { xs, ys }, step, dashed) {
    const { c, theme } = g, x = xs.map(g.X), y = ys.map(g.Y), last = Math.min(step, x.length - 1);
    Object.assign(c, { lineJoin: "round", lineCap: "round" });
    for (const [color, wide, until] of [[theme.paper, 4, x.length], [theme.ink, 1.2, x.length],
      [theme.paper, 5.4, last + 1], [theme.ink, 2.8, last + 1]]) {
      c.setLineDash(dashed && color === theme.ink ? [5, 4] : []);
      trace(c, x, y, until);
      Object.assign(c, { strokeStyle: color, lineWidth: wide });
      c.stroke();
    }
    c.setLineDash([]);
    c.textBaseline = "bottom";
    const placed = [];
    for (const [name, start] of dashed ? [] : this.app.detail.header.periods) {
      if (start >= x.length) continue;
      c.beginPath();
      c.arc(x[start], y[start], 3, 0, 7);
      Object.assign(c, { fillStyle: theme.ink, strokeStyle: theme.paper, lineWidth: 3 });
      c.fill();
      const near = placed.some(([a, b]) => Math.abs(a - x[start]) < 60 && Math.abs(b - y[start]) < 14);
      if (near) continue;
      placed.push([x[start], y[start]]);
      const beside = x[start] + 8 + c.measureText(name).width < g.left + g.width;
      c.textAlign = beside ? "left" : "right";
      const at = [name, x[start] + (beside ? 6 : -6), y[start] - 3];
      c.strokeText(...at);
      c.fillText(...at);
    }
    c.beginPath();
    c.arc(x[last], y[last], 5.5, 0, 7);
    Object.assign(c, { fillStyle: theme.paper, strokeStyle: theme.ink, lineWidth: 2.4 });
    c.fill();
    c.stroke();
  }

  /** The mean of some paths at each step, of those that last as long. */
  mean(paths) {
    const steps = Math.max(...paths.map(({ xs }) => xs.length));
    const along = (name) => Float32Array.from({ length: steps }, (_, t) => {
      const there = paths.filter(({ xs }) => t < xs.length);
      return there.reduce((sum, path) => sum + path[name][t], 0) / there.length;
    });
    return { xs: along("xs"), ys: along("ys") };
  }

  read(place) {
    this.hovered = nearestPoint(this.pixels ?? [], place, 9);
    if (!this.hovered) return null;
    const [k, t] = this.hovered, { i } = this.paths()[k], { app } = this;
    const { labels, conditions } = app.overview.header, name = app.get("color_by");
    const { labels: classes, code, values } = conditions[name] ?? {};
    const value = values ? words(values[i]) : classes?.[code[i]];
    return [`trial ${labels[i]}`, `${words(app.timeOf(t), 6)} ms`,
      ...(value === undefined ? [] : [`${name.replaceAll("_", " ")}: ${value}`])].join("\n");
  }

  pick(place) {
    const found = nearestPoint(this.pixels ?? [], place, 9);
    if (!found) return;
    const trial = this.app.overview.header.numbers[this.paths()[found[0]].i];
    this.app.set({ ...this.app.frame(trial, this.app.timeOf(found[1])), view: "trial" });
  }
}

function* everything(paths, name) { for (const path of paths) yield* path[name]; }

/** Begins a path through points. */
function trace(c, xs, ys, count) {
  c.beginPath();
  for (let t = 0; t < count; t++) c.lineTo(xs[t], ys[t]);
}

/** Outlines a box in the colour of what is selected; a thin one stays visible within. */
export function outline({ c, theme }, x0, y0, x1, y1) {
  for (const [color, wide] of [[theme.paper, 4], [theme.select, 2]]) {
    Object.assign(c, { strokeStyle: color, lineWidth: wide });
    c.strokeRect(x0 - 2, y0 - 2, x1 - x0 + 4, y1 - y0 + 4);
  }
}
