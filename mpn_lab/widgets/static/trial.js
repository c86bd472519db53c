/** TrialExplorer: a trial's inputs, states and outputs under one cursor. */

import { make, menu } from "./controls.js";
import { Inputs, Hidden, Matrix, Outputs, Trace, Trajectories } from "./trial_panels.js";
import { Trials } from "./trials.js";

const ORDERS = [["index", "unsorted"], ["selectivity", "by response"],
  ["cluster", "clustered"]];
const VIEWS = [["trial", "one trial"], ["mean", "mean over trials"],
  ["difference", "trial − mean"]];
const TRAITS = ["time", "trial", "selection", "variable", "components", "color_by", "show", "order",
  "view", "where"];
const ANY = ""; // of a filter

export class TrialExplorer extends Trials {
  build() {
    const { bar, grid } = super.build(), { header } = this.overview;
    this.controls(bar);
    const stacks = ["time", "space", "state"].map((name) => make("div", { className: `mpn-${name}` }));
    grid.append(...stacks);
    this.panels = [new Inputs(this, stacks[0]), new Outputs(this, stacks[0]),
      new Hidden(this, stacks[0]), new Trajectories(this, stacks[1])];
    if (header.inputs) this.panels.push(new Matrix(this, stacks[2], ORDERS));
    this.panels.push(new Trace(this, stacks[2]));
    for (const name of TRAITS) this.listen(`change:${name}`, () => this.schedule());
    Object.assign(this.keys, { PageDown: this.keys.ArrowDown, PageUp: this.keys.ArrowUp });
  }

  controls(bar) {
    const { header } = this.overview, classes = Object.entries(header.conditions);
    const speed = menu(bar, "speed", "Steps a second while playing", (value) => {
      this.rate = Number(value);
    });
    speed.choices([["5", "5 / s"], ["10", "10 / s"], ["20", "20 / s"]], this.rate);
    this.chooser = menu(bar, "trial", "The trial: its number, the response and the outcome "
      + "(arrow keys up and down)", (value) => this.set(this.frame(Number(value))));
    const filter = (value) => this.filter(value);
    this.outcome = menu(bar, "trials", "Which trials to choose from, by their outcome", filter);
    this.outcome.choices(header.conditions.outcome
      ? [[ANY, "all"], ["correct", "correct"], ["wrong", "wrong"]] : [[ANY, "all"]], ANY);
    this.only = menu(bar, "with", "Which trials to choose from, by a condition", filter);
    const pairs = classes.filter(([name, { labels }]) => labels && name !== "outcome")
      .flatMap(([name, { labels, code }]) => labels.filter((_, k) => code.includes(k))
        .map((label) => [JSON.stringify([name, label]), `${spoken(name)} = ${label}`]));
    this.only.choices([[ANY, "any condition"], ...pairs], ANY);
    this.viewer = menu(bar, "view", "One trial, the mean over the trials left by the filters, or the "
      + "trial's difference from it", (view) => this.set({ view }));
    const views = header.numbers.length > 1 && !header.page ? VIEWS : VIEWS.slice(0, 1);
    this.viewer.choices(views, "trial");
  }

  /** The chosen trials by the filters, as positions. */
  left() {
    const where = this.get("where"), key = JSON.stringify(where);
    if (this.leftKey !== key) {
      this.leftKey = key;
      this.kept = this.passing(where);
    }
    return this.kept;
  }

  passing(where) {
    const { conditions, numbers } = this.overview.header, pairs = Object.entries(where);
    return [...numbers.keys()].filter((i) => pairs.every(([name, label]) => {
      const { labels, code } = conditions[name];
      return labels[code[i]] === String(label);
    }));
  }

  filter() {
    const where = {};
    if (this.outcome.select.value) where.outcome = this.outcome.select.value;
    if (this.only.select.value) {
      const [name, label] = JSON.parse(this.only.select.value);
      where[name] = label;
    }
    const left = this.passing(where), { numbers } = this.overview.header;
    if (!left.length) {
      const asked = Object.entries(where).map(([name, label]) => `${spoken(name)} = ${label}`);
      this.schedule(); // the menus go back to what is shown
      return this.show(`No trial of this record has ${asked.join(" and ")}; the filter was taken back.`);
    }
    const trial = left.includes(this.position()) ? {} : this.frame(numbers[left[0]]);
    this.set({ where, ...trial });
  }

  steps() {
    const { lengths } = this.overview.header, left = this.left();
    return this.get("view") === "mean" ? Math.max(...left.map((i) => lengths[i]))
      : lengths[this.position()];
  }

  /** Goes on, or back, among the trials left by the filters. */
  turn(by) {
    const left = this.left(), { numbers } = this.overview.header;
    const at = left.indexOf(this.position());
    this.set(this.frame(numbers[left[(at + by + left.length) % left.length]]));
  }

  /** The order of the hidden units: unsorted until the kernel has answered. */
  order() {
    const name = this.get("order");
    this.plain ??= Int32Array.from({ length: this.overview.header.hidden }, (_, k) => k);
    if (name === "index") return this.plain;
    return this.load(`order ${name}`, { ask: "order", order: name }, true)?.order.data ?? this.plain;
  }

  /** Loads what is to be shown; until it is there, what was shown stays. */
  fetch() {
    const view = this.get("view"), { numbers } = this.overview.header, trial = this.get("trial");
    const ask = (number) => this.load(`trial ${number}`, { ask: "trial", trial: number });
    let found;
    if (view === "trial") found = ask(trial);
    else {
      const trials = this.left().map((i) => numbers[i]), minus = view === "mean" ? "" : ` ${trial}`;
      found = this.load(`${view}${minus} ${this.leftKey}`, { ask: view, trials, trial });
    }
    this.root.toggleAttribute("aria-busy", !found);
    if (!found || (found === this.detail && this.shownView === view)) return;
    Object.assign(this, { detail: found, shownTrial: trial, shownView: view });
    this.serial = (this.serial ?? 0) + 1;
    if (view === "trial") { // those that may be next
      const left = this.left(), at = left.indexOf(this.position());
      for (const by of [1, -1, 2]) ask(numbers[left[(at + by + left.length) % left.length]]);
    }
  }

  draw() {
    this.fetch();
    if (!this.detail) return;
    const { header } = this.overview, step = this.step();
    this.showTime(step);
    this.chooser.choices(this.left().map((i) => [header.numbers[i], header.labels[i]]),
      this.get("trial"));
    this.chooser.node.hidden = this.get("view") === "mean" || header.numbers.length < 2;
    const { outcome, ...rest } = this.get("where"), [other] = Object.entries(rest);
    this.outcome.select.value = outcome ?? ANY;
    this.only.select.value = other ? JSON.stringify([other[0], String(other[1])]) : ANY;
    this.viewer.select.value = this.get("view");
    this.headline();
    for (const panel of this.panels) panel.paint(step);
  }

  headline() {
    const { header } = this.overview, { averaged, conditions } = this.detail.header;
    const text = { trial: header.titles[this.position()].replaceAll("   ", " · "),
      mean: `${header.task} · mean of ${averaged} trials, from their starts`,
      difference: `${header.task} · trial ${this.get("trial")} minus the mean of ${averaged} trials`,
    }[this.shownView];
    if (this.headKey === text + conditions) return;
    this.headKey = text + conditions;
    this.title.replaceChildren(make("b", { textContent: text }), " ",
      make("span", { textContent: conditions }));
  }
}

/** A condition's name in words. */
function spoken(name) { return name.replaceAll("_", " "); }

/** Puts an explorer of a model into a place of a page; returns what ends it. */
export function mount(root, model) {
  const app = new TrialExplorer(root, model);
  root.mpn = app;
  return () => app.end();
}

export default { render: ({ model, el }) => mount(el, model) };
