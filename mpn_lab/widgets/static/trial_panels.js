/** The panels of trials: observations, Q, h and M, each of what is compared or their difference. */

import { channelColor, largestOf, limitsOf, words } from "./axes.js";
import {
  clipped, colorBar, disc, drawAxes, drawCursor, drawLine, drawMap, drawPeriods, drawSpread,
} from "./drawing.js";
import { Panel, ZOOM } from "./panels.js";

const MANY = 10; // channels or actions: more are no longer told apart as lines
const ROW = 15; // pixels of a row of actions

/** A panel over time; all share their zoom. */
export class OverTime extends Panel {
  constructor(app, stack, title, hint, sizes) {
    super(app, stack, title, `${hint}. Click: go to that time; ${ZOOM}; drag with Shift: a span.`,
      sizes);
    this.flat = true;
  }

  get zoom() { return this.app.timeZoom ?? {}; }

  set zoom(zoom) { this.app.timeZoom = zoom.x ? { x: zoom.x } : {}; }

  /** The limits of the axis. @returns {[number, number]} */
  across() {
    const { app } = this, [low, high] = app.extent();
    return [app.timeOf(low) - app.dt / 2, app.timeOf(high) + app.dt / 2];
  }

  key() { return this.app.serial; }

  pick({ x }) { this.app.go(this.app.stepAt(x)); }

  over(g, step) { drawCursor(g, this.app, step); }

  clock(step) { return `${words(this.app.timeOf(step), 6)} ms`; }

  /** The letter of an item, where there are several. */
  letter(item) { return this.app.items.length > 1 ? ` ${item.letter}` : ""; }

  /** The label of the time axis. */
  get timeLabel() {
    const align = this.app.get("align");
    return align ? `time from the start of ${align} (ms)` : "time (ms)";
  }

  /** Draws entry k of an array [time, ...] of every item, with its spread. */
  drawItems(g, name, k, color, style = {}) {
    for (const item of this.app.items) {
      const { data, shape } = item.detail[name], spread = item.detail[`${name}_sd`]?.data;
      const at = (t) => data[t * shape[1] + k];
      const wide = (t) => spread[t * shape[1] + k];
      if (spread) drawSpread(g, item, item.steps, at, wide, color, style.stairs);
      drawLine(g, item, item.steps, at, { color, dash: item.dash, ...style });
    }
  }

  /** The values of entry k at a step, of every item. */
  values(name, step, k, digits = 2) {
    return this.app.items.map((item) => words(item.value(name, step, k), digits)).join(" | ");
  }
}

/** Observations: a line for each channel, or a map of many, of the first item. */
export class Inputs extends OverTime {
  constructor(app, stack) {
    super(app, stack, "observations", "What the network observes at each step, by channel",
      { grow: 1, least: 128, top: 24, bottom: 22 });
    this.names = app.overview.header.channels;
    this.many = this.names.length > MANY;
  }

  domain() {
    const all = this.app.items.flatMap(({ detail }) => [...limitsOf(detail.obs.data, 0.08)]);
    return { x: this.across(), y: this.many ? [this.names.length, 0] : limitsOf(all, 0) };
  }

  base(g) {
    const { app, names } = this, [first] = app.items, several = app.items.length > 1;
    drawPeriods(g, app, { strip: this.many, tall: 18 });
    if (this.many) {
      const scale = app.overview.header.scales.obs, { data, shape: [steps, count] } = first.detail.obs;
      this.heading.textContent = `observations${several ? " of A" : ""}`;
      drawMap(g, count, steps, (k, t) => data[t * count + k], scale, spanOf(first), [0, count]);
      colorBar(this, scale, g.theme);
    } else {
      clipped(g, () => names.forEach((name, k) => {
        const dashed = name === "fixation" && !several ? { dash: [5, 3] } : {};
        this.drawItems(g, "obs", k, channelColor(g.theme, names, k), { stairs: true, ...dashed });
      }));
    }
    drawAxes(g, "", this.many ? "channel" : "value");
  }

  over(g, step) {
    super.over(g, step);
    if (!this.many) {
      this.legend(this.names.map((name, k) => ({
        name, value: this.values("obs", step, k),
        color: channelColor(g.theme, this.names, k),
        dash: name === "fixation" && this.app.items.length === 1
      })));
    }
    this.describe(`observations at ${this.clock(step)}: ${this.names.slice(0, MANY)
      .map((name, k) => `${name} ${this.values("obs", step, k)}`).join(", ")}`);
  }

  read({ x, y }) {
    const step = this.app.stepAt(x), count = this.names.length;
    const line = (k) => `${this.names[k]}: ${this.values("obs", step, k, 3)}`;
    const chosen = this.many ? [Math.min(Math.max(Math.floor(y), 0), count - 1)] : this.names.keys();
    return [this.clock(step), ...[...chosen].map(line)].join("\n");
  }
}

/**
 * The time from the start of the first step of an item to the end of its last.
 * @returns {[number, number]}
 */
function spanOf(item) {
  return [item.timeOf(0) - item.dt / 2, item.timeOf(item.steps - 1) + item.dt / 2];
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

  /** The rows below the lines: [label, values at its steps, item], those that are known. */
  rows() {
    const known = (a) => a?.data.some((v) => v >= 0), rows = [], { items } = this.app;
    for (const item of items) {
      if (known(item.detail.taken)) rows.push([`taken${this.letter(item)}`, item.detail.taken, item]);
    }
    const [first] = items, text = (item) => `${item.first} ${item.detail.truth?.data}`;
    for (const item of items) {
      const again = item !== first && text(item) === text(first);
      if (again || !known(item.detail.truth)) continue;
      const same = items.every((other) => text(other) === text(first));
      rows.push([`correct${same ? "" : this.letter(item)}`, item.detail.truth, item]);
    }
    for (const item of items) {
      const { reward } = item.detail;
      if (reward?.data.some((v) => v)) rows.push([`reward${this.letter(item)}`, reward, item]);
    }
    return rows;
  }

  /** The limits of all trials, and of what is shown, with its spread. */
  domain() {
    if (this.limitsKey !== this.app.serial) {
      this.limitsKey = this.app.serial;
      const ends = [...this.app.overview.header.scales.Q];
      for (const { detail: { Q, Q_sd } } of this.app.items) {
        const [low, high] = limitsOf(Q.data, 0), wide = Q_sd ? largestOf(Q_sd.data) : 0;
        if (high > low) ends.push(low - wide, high + wide);
      }
      this.y = limitsOf(ends);
    }
    return { x: this.across(), y: this.y };
  }

  base(g) {
    const { app } = this, rows = this.rows(), { c } = g;
    const kinds = new Set(app.items.map(({ overview: { header } }) => header.logits));
    const name = (item) => `${item.letter} ${item.overview.header.logits ? "logits" : "Q"}`;
    if (kinds.size > 1) this.heading.textContent = `outputs: ${app.items.map(name).join(", ")}`;
    else this.heading.textContent = kinds.has(true) ? "logits of actions" : "action values Q";
    this.what = kinds.size > 1 ? "output" : kinds.has(true) ? "logit" : "Q";
    const lower = { ...g, height: g.height - rows.length * ROW };
    lower.Y = (v) => lower.top + lower.height * (g.y[1] - v) / (g.y[1] - g.y[0]);
    lower.Y.invert = g.Y.invert;
    drawPeriods(g, app);
    clipped(lower, () => this.names.forEach((_, k) => this.drawItems(lower, "Q", k, this.color(g, k))));
    for (const item of app.items) this.greedy(lower, item);
    drawAxes(lower, "", this.what, { foot: g.top + g.height });
    this.free = false;
    rows.forEach(([label, row, item], r) => {
      const y = lower.top + lower.height + (r + 0.5) * ROW;
      Object.assign(c, { fillStyle: g.theme.soft, textAlign: "right", textBaseline: "middle" });
      c.fillText(label, g.left - 7, y);
      this.row(g, label, row.data, item, y);
    });
    c.strokeStyle = g.theme.line;
    c.strokeRect(g.left + 0.5, g.top + 0.5, g.width - 1, g.height - 1);
    this.lower = lower;
  }

  /** Draws a dot at the greedy action of every step of an item. */
  greedy(g, item) {
    const { Q, greedy } = item.detail;
    for (let t = 0; greedy && t < item.steps; t++) {
      const at = g.X(item.timeOf(t)), k = greedy.data[t];
      if (k < 0 || at < g.left || at > g.left + g.width) continue;
      disc(g.c, at, g.Y(Q.data[t * Q.shape[1] + k]), 2.6);
      g.c.fillStyle = this.color(g, k);
      g.c.fill();
    }
  }

  /** Draws a row of actions as squares, or of rewards as bars. */
  row(g, label, data, item, y) {
    const { c, X } = g, { scales } = this.app.overview.header, { truth, reward } = item.detail;
    const wide = Math.max(1, Math.min(9, Math.abs(X(item.dt) - X(0)) - 1));
    for (let t = 0; t < item.steps; t++) {
      const at = X(item.timeOf(t)), value = data[t];
      if (at < g.left || at > g.left + g.width) continue;
      if (label.startsWith("reward")) {
        const tall = Math.min(1, Math.abs(value) / scales.reward) * 6;
        c.fillStyle = g.theme.ink;
        if (value) c.fillRect(at - wide / 2, value > 0 ? y - tall : y, wide, tall);
      } else if (value >= 0) {
        const free = label.startsWith("taken") && truth && isFree(t, value, truth.data, reward?.data);
        this.free ||= free;
        c.globalAlpha = free ? 0.3 : 1;
        c.fillStyle = this.color(g, value);
        c.fillRect(at - wide / 2, y - 4.5, wide, 9);
        c.globalAlpha = 1;
      }
    }
  }

  over(g, step) {
    super.over(g, step);
    const { app } = this, { c } = g, at = g.X(app.timeOf(step)), [item] = app.items;
    for (let k = 0; k < this.names.length && at >= g.left && at <= g.left + g.width; k++) {
      for (const one of app.items) {
        disc(c, at, this.lower.Y(one.value("Q", step, k)), 4.5);
        Object.assign(c, { fillStyle: this.color(g, k), strokeStyle: g.theme.paper, lineWidth: 1.5 });
        c.fill();
        c.stroke();
      }
    }
    const entries = this.names.slice(0, MANY).map((name, k) => ({
      name, color: this.color(g, k),
      value: this.values("Q", step, k)
    }));
    if (this.free) entries.push({ name: "faded: before the decision, at no cost", note: true });
    this.legend(entries);
    const now = entries.filter(({ note }) => !note).map(({ name, value }) => `${name} ${value}`);
    const got = item.detail.reward ? `; reward ${words(item.value("reward", step), 2)}` : "";
    this.describe(`${this.what} at ${this.clock(step)}: ${now.join(", ")}${got}`);
  }

  read({ x }) {
    const { app, names } = this, step = app.stepAt(x);
    const lines = names.map((name, k) => `${name}: ${this.values("Q", step, k, 3)}`);
    for (const item of app.items) {
      const { taken, truth, reward } = item.detail, letter = this.letter(item), t = item.at(step);
      if (t === null) continue;
      if (taken?.data[t] >= 0) lines.push(`taken${letter}: ${names[taken.data[t]]}`);
      if (truth?.data[t] >= 0) lines.push(`correct action${letter}: ${names[truth.data[t]]}`);
      if (reward) lines.push(`reward${letter}: ${words(reward.data[t])}`);
    }
    return [this.clock(step), ...lines].join("\n");
  }
}

/** Whether an action that is not the correct one came before the decision and cost nothing. */
export function isFree(step, taken, truth, reward) {
  const before = truth[step] === truth[0] && step < truth.length - 1; // the last is the response
  return before && truth[0] >= 0 && taken !== truth[step] && reward?.[step] === 0;
}

/** The differences of Q, or of logits, of the other items from the first. */
export class Change extends OverTime {
  constructor(app, stack) {
    const what = app.overview.header.logits ? "logits" : "Q";
    super(app, stack, `difference of ${what}`, `${what} of each action, minus that of A`,
      { grow: 0.8, least: 110, bottom: 22 });
    this.names = app.overview.header.actions;
  }

  /** The items whose difference from the first means something. */
  get others() {
    const [first, ...others] = this.app.items, { logits } = first.overview.header;
    return others.filter((item) => item.overview.header.logits === logits && first.comparable(item));
  }

  at(item, step, k) { return item.value("Q", step, k) - this.app.items[0].value("Q", step, k); }

  domain() {
    if (this.limitKey !== this.app.serial) {
      this.limitKey = this.app.serial;
      this.most = largestOf(this.others.flatMap((item) => this.names.flatMap((_, k) =>
        Array.from({ length: item.steps }, (_, t) => this.at(item, item.first + t, k))))) || 1;
    }
    return { x: this.across(), y: [-1.08 * this.most, 1.08 * this.most] };
  }

  base(g) {
    const { theme } = g, color = (k) => theme.actions[k % theme.actions.length];
    const of = this.others.map(({ letter }) => `${letter} − A`).join(", ");
    this.heading.textContent = `difference of ${this.app.overview.header.logits ? "logits" : "Q"}: ${of}`;
    drawPeriods(g, this.app);
    clipped(g, (c) => {
      c.fillStyle = theme.line;
      c.fillRect(g.left, g.Y(0) - 0.5, g.width, 1);
      for (const item of this.others) this.names.forEach((_, k) => drawLine(g, item, item.steps,
        (t) => this.at(item, item.first + t, k), { color: color(k), dash: item.dash }));
    });
    drawAxes(g, "", "difference");
  }

  over(g, step) {
    super.over(g, step);
    const values = this.read({ x: this.app.timeOf(step) }).replaceAll("\n", "; ");
    this.describe(`${this.heading.textContent}, at ${values}`);
  }

  read({ x }) {
    const step = this.app.stepAt(x);
    return [this.clock(step), ...this.names.map((name, k) => `${name}: ${this.others
      .map((item) => words(this.at(item, step, k))).join(" | ")}`)].join("\n");
  }
}
