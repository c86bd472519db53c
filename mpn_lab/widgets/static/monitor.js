/** TrainingMonitor: the learning curves of one run or several, while they train. */

import { App } from "./app.js";
import { conditionColor, limitsOf, ticks, words } from "./axes.js";
import { legend, make, menu } from "./controls.js";
import { clipped, disc, drawAxes, drawLine } from "./drawing.js";
import { DASHES } from "./items.js";
import { PageModel } from "./page.js";
import { Panel } from "./panels.js";
import { TrialExplorer } from "./trial.js";

const NEWEST = ""; // of the runs, the one that sent last

/** One trial of the network that is being trained. */
class PresentTrial extends TrialExplorer {
  /** Shows the same trial of a later network; time, selection and zoom stay. */
  renew({ values: { _overview }, parts }) {
    this.model.values._overview = _overview;
    this.model.parts = parts;
    this.reload();
  }
}

class TrainingMonitor extends App {
  build() {
    this.chosen = NEWEST;
    this.title = make("div", { className: "mpn-title" });
    this.grid = make("div", { className: "mpn-monitor" });
    this.root.append(this.title);
    this.legend = legend(this.root);
    this.head = make("div", { className: "mpn-present-head" });
    this.words = make("div", { className: "mpn-title" });
    this.chooser = menu(this.head, "training", "The training whose trial is shown",
      (name) => { this.chosen = name; this.present(); });
    this.place = make("div", { className: "mpn-present" });
    this.head.prepend(this.words);
    this.root.append(this.grid, this.head, this.place);
    this.listen("change:_overview", () => this.refresh());
    this.listen("change:_pages", () => this.present());
    this.endings.push(() => this.trial?.end());
    this.keys = {
      ArrowRight: () => this.move(1), ArrowLeft: () => this.move(-1),
      Home: () => this.move(-Infinity), End: () => this.move(Infinity),
      Escape: () => { this.at = null; this.across = {}; for (const panel of this.panels) panel.zoom = {}; }
    };
    this.refresh();
  }

  /** Takes the tables anew; new panels only where there are other columns. */
  refresh() {
    this.reload();
    this.serial = (this.serial ?? 0) + 1;
    const { header } = this.overview, key = JSON.stringify(header.panels);
    if (key !== this.panelsKey) {
      this.panelsKey = key;
      this.grid.replaceChildren();
      this.panels = header.panels.map((panel) => new Curves(this, this.grid, panel));
    }
    this.show(header.error);
    this.present();
  }

  /** Shows the trial of the training that was chosen, or of the one that sent last. */
  present() {
    const pages = this.get("_pages"), { header } = this.overview;
    const page = pages.find(({ name }) => name === this.chosen) ?? pages.at(-1);
    this.head.hidden = header.trial === null;
    this.words.replaceChildren(make("b", { textContent: `trial ${header.trial}` }), " ",
      [page?.name, page?.words ?? header.waits].filter(Boolean).join(", "));
    const names = pages.map(({ name }) => name).sort();
    this.chooser.choices(names.length > 1 ? [[NEWEST, "the newest row"], ...names] : [], this.chosen);
    if (!page || page === this.page) return;
    const { name, values, parts } = this.page = page, model = new PageModel({ ...values }, parts);
    if (name === this.trial?.name) return this.trial.renew(model);
    for (const trait of this.trial ? ["time", "align"] : []) model.set(trait, this.trial.get(trait));
    this.trial?.end();
    this.place.replaceWith(this.place = make("div", { className: "mpn-present" })); // and what listens to it
    this.trial = this.place.mpn = Object.assign(new PresentTrial(this.place, model), { name });
  }

  ready() { return true; }

  /** A column of a run; empty where it has none. */
  column(k, name) { return this.overview[`${k} ${name}`]?.data ?? []; }

  color(k) { return conditionColor(this.theme, k, this.overview.header.runs.length); }

  /** The row of a run that is nearest to a number of trials; the last where none is given. */
  row(k, trials = this.at) {
    const all = this.column(k, "trials");
    if (trials === null || trials === undefined) return all.length - 1;
    return all.reduce((best, x, i) => (Math.abs(x - trials) < Math.abs(all[best] - trials) ? i : best), 0);
  }

  /** Moves the cursor among the rows of all runs. */
  move(by) {
    const rows = this.overview.header.runs.flatMap((_, k) => [...this.column(k, "trials")]);
    const all = [...new Set(rows)].sort((a, b) => a - b), at = this.at ?? all.at(-1);
    this.at = all[Math.min(Math.max(all.indexOf(at) + by, 0), all.length - 1)] ?? null;
    this.schedule();
  }

  draw() {
    const { header } = this.overview;
    this.title.replaceChildren(make("b", { textContent: header.title }), " ", header.words);
    if (header.runs.length > 1) {
      this.legend(header.runs.map(({ name, words: value }, k) => ({ name, value, color: this.color(k) })));
    }
    for (const panel of this.panels) panel.paint();
  }
}

/** Columns of the tables over the number of trials: a colour for each run, dashes for each column. */
class Curves extends Panel {
  constructor(app, stack, { title, hint, unit, lines, scale }) {
    super(app, stack, title, `${hint}. Click, or arrow keys: a row; drag: zoom; double click: all`,
      { least: 190 });
    this.unit = unit;
    this.lines = lines;
    this.scale = scale;
    this.flat = true;
  }

  get zoom() { return this.app.across ?? {}; }

  set zoom(zoom) { this.app.across = zoom.x ? { x: zoom.x } : {}; }

  key() { return this.app.serial; }

  /** A value on the axis: its logarithm for a loss, which has none at 0. */
  scaled(value) { return this.scale === "log" ? (value > 0 ? Math.log10(value) : NaN) : value; }

  values(k, name) { return Array.from(this.app.column(k, name), (value) => this.scaled(value)); }

  domain() {
    const { runs, last } = this.app.overview.header, x = [0, last * 1.02];
    if (this.scale === "share") return { x, y: [-0.03, 1.05] };
    const all = runs.flatMap((_, k) => this.lines.flatMap(({ column }) => this.values(k, column)))
      .filter(Number.isFinite), y = limitsOf(all.length ? all : [0, 1], 0.08);
    if (this.scale === "log") return { x, y: all.length ? y : [-2, -1] };
    return { x, y: y[1] - y[0] < 1e-3 ? [y[0] - 0.05, y[1] + 0.05] : y };
  }

  style(k, n) {
    const { ideal } = this.lines[n], { theme } = this.app;
    return {
      color: ideal ? theme.soft : this.app.color(k), dash: DASHES[n % DASHES.length], width: ideal
        ? 1.2 : 1.8
    };
  }

  base(g) {
    const { app } = this, { runs } = app.overview.header;
    drawAxes(g, "trials", this.unit, {
      yTicks: this.ticks(g.y).map((v) => [v, words(this.scale === "log" ? 10 ** v
        : v)])
    });
    clipped(g, (c) => runs.forEach((_, k) => [...this.lines.keys()].reverse().forEach((n) => {
      const xs = app.column(k, "trials"), ys = this.values(k, this.lines[n].column), style = this.style(k, n);
      drawLine(g, { timeOf: (t) => xs[t], dt: 0 }, ys.length, (t) => ys[t], style);
      c.fillStyle = style.color;
      for (let t = 0; n === 0 && t < ys.length && ys.length < 200; t++) {
        if (Number.isFinite(ys[t])) { disc(c, g.X(xs[t]), g.Y(ys[t]), 2); c.fill(); }
      }
    })));
  }

  /** Ticks of the values; of a loss at powers of ten, and within fewer than two of them in between. */
  ticks([from, to]) {
    if (this.scale !== "log") return ticks(from, to, 5);
    const whole = Array.from({ length: 25 }, (_, k) => k - 12);
    return whole.filter((v) => v >= from && v <= to).length > 1 ? whole
      : whole.flatMap((v) => [1, 2, 5].map((factor) => v + Math.log10(factor)));
  }

  over(g) {
    const { app, lines } = this, { runs } = app.overview.header, { c, theme } = g;
    const rows = runs.map((_, k) => app.row(k)), one = runs.length === 1;
    if (typeof app.at === "number") {
      c.fillStyle = theme.ink;
      c.fillRect(g.X(app.at) - 0.75, g.top, 1.5, g.height);
    }
    runs.forEach((_, k) => lines.forEach(({ column, ideal }, n) => {
      const x = app.column(k, "trials")[rows[k]], y = this.scaled(app.column(k, column)[rows[k]]);
      if (!Number.isFinite(y) || !(x <= g.x[1]) || ideal) return;
      c.fillStyle = this.style(k, n).color;
      disc(c, g.X(x), g.Y(y), 4);
      c.fill();
    }));
    const value = (k, column) => words(app.column(k, column)[rows[k]]);
    this.legend(lines.map(({ name, column }, n) => ({
      name, dash: this.style(0, n).dash,
      color: one ? this.style(0, n).color : theme.soft, value: one ? value(0, column) : ""
    })));
    this.describe(this.said(rows));
  }

  said(rows) {
    const { app } = this, { runs } = app.overview.header;
    const value = (k, column) => words(app.column(k, column)[rows[k]]);
    return runs.map(({ name }, k) => {
      const trials = rows[k] < 0 ? "0" : value(k, "trials"), of = runs.length > 1 ? `${name}, ` : "";
      const lines = this.lines.map((line) => `${line.name}: ${value(k, line.column)}`);
      return [`${of}${trials} trials`, ...lines].join("\n");
    }).join("\n");
  }

  read({ x }) { return this.said(this.app.overview.header.runs.map((_, k) => this.app.row(k, x))); }

  pick({ x }) {
    const { app } = this, { runs } = app.overview.header;
    const near = runs.map((_, k) => app.column(k, "trials")[app.row(k, x)])
      .filter((trials) => trials !== undefined);
    app.at = near.sort((a, b) => Math.abs(a - x) - Math.abs(b - x))[0] ?? null;
  }
}

export function mount(root, model) {
  const app = root.mpn = new TrainingMonitor(root, model);
  return () => app.end();
}

export default { render: ({ model, el }) => mount(el, model) };
