/** TrialExplorer: inputs, states and outputs of trials, and of averages, under one cursor. */

import { conditionColor } from "./axes.js";
import { legend, make, menu, slider, toggles } from "./controls.js";
import { Item, MOST_ITEMS, shownMaps } from "./items.js";
import { Hidden, Matrix, Trace } from "./map_panels.js";
import { changed } from "./payload.js";
import { Change, Inputs, Outputs } from "./trial_panels.js";
import { Trajectories } from "./trajectories.js";
import { Trials } from "./trials.js";
import { WhatIf } from "./what_if.js";

const ORDERS = [["index", "unsorted"], ["selectivity", "by response"], ["cluster", "clustered"]];
const VIEWS = [["trial", "one trial"], ["mean", "mean over trials"], ["difference", "trial and mean"]];
const TRAITS = ["time", "trial", "selection", "variable", "components", "color_by", "show", "order",
  "view", "where", "shown", "beside", "by", "align"];
const ANY = ""; // of a filter

export class TrialExplorer extends Trials {
  build() {
    const { bar, grid } = super.build(), { header } = this.overview;
    this.controls(bar);
    const [time, space, state] = ["time", "space", "state"].map((name) =>
      make("div", { className: `mpn-${name}` }));
    grid.append(time, space, state);
    this.panels = [new Inputs(this, time), new Outputs(this, time), new Change(this, time)];
    this.change = this.panels[2];
    this.stacks = { h: time, M: make("div", { className: "mpn-maps" }), paths: space };
    /** @type {Record<number, Int32Array>} */
    this.plain = {}; // the units as they are, by their number
    /** @type {Record<string, any[]>} */
    this.grown = { h: [], M: [], paths: [] }; // as many panels as there are things to show
    this.tools = make("div", { className: "mpn-tools" });
    const chooser = (label, trait, hint, options) => {
      const made = menu(this.tools, label, hint, (value) => this.set({ [trait]: value }));
      return () => made.choices(options(), this.get(trait));
    };
    const shows = () => this.items.map((item) => Object.keys(item.overview.header.shows))
      .reduce((most, one) => (one.length > most.length ? one : most), []);
    const orders = header.variables.length ? ORDERS : ORDERS.slice(0, 1); // of a trial alone
    this.choosers = [chooser("show", "show", "What the maps of synapses show", shows),
    chooser("units", "order", "The order of the hidden units, in the maps and in h", () => orders)];
    state.append(this.tools, this.stacks.M);
    this.panels.push(new Trace(this, state));
    for (const name of TRAITS) this.listen(`change:${name}`, () => this.schedule());
    Object.assign(this.keys, { PageDown: this.keys.ArrowDown, PageUp: this.keys.ArrowUp });
  }

  controls(bar) {
    const { header } = this.overview, classes = Object.entries(header.conditions);
    const speed = menu(bar, "speed", "Steps a second while playing", (value) => {
      this.rate = Number(value);
    });
    speed.choices([["5", "5 / s"], ["10", "10 / s"], ["20", "20 / s"]], this.rate);
    const row = make("div", { className: "mpn-bar-top" });
    bar.after(row);
    this.chooser = menu(row, "trial", "The trial: its number, the response and the outcome "
      + "(arrow keys up and down)", (value) => this.set(this.frame(Number(value))));
    const filter = () => this.filter();
    this.outcome = menu(row, "trials", "Which trials to choose from, by their outcome", filter);
    this.outcome.choices(header.conditions.outcome
      ? [[ANY, "all"], ["correct", "correct"], ["wrong", "wrong"]] : [[ANY, "all"]], ANY);
    this.only = menu(row, "with", "Which trials to choose from, by a condition", filter);
    const sorted = classes.filter(([, { labels }]) => labels);
    const pairs = sorted.filter(([name]) => name !== "outcome")
      .flatMap(([name, { labels, code }]) => labels.filter((_, k) => code.includes(k))
        .map((label) => [JSON.stringify([name, label]), `${spoken(name)} = ${label}`]));
    this.only.choices([[ANY, "any condition"], ...pairs], ANY);
    this.viewer = menu(row, "view", "One trial, the mean over the trials left by the filters, or both "
      + "with their difference", (view) => this.set({ view }));
    this.viewer.choices(header.numbers.length > 1 ? VIEWS : VIEWS.slice(0, 1), "trial");
    this.beside = menu(row, "beside", "Another trial, shown beside it with their difference",
      (value) => this.set({ beside: value ? [Number(value)] : [] }));
    this.by = menu(row, "for each", "The average of the trials of each class of a condition",
      (by) => this.set({ by }));
    this.by.choices([[ANY, "all together"], ...sorted.map(([name]) => [name, spoken(name)])], ANY);
    this.aligner = menu(row, "time from", "The moment from which the time counts in every trial",
      (align) => this.align(align));
    this.aligner.choices([[ANY, "the trial's start"], ...header.periods.map((name) =>
      [name, `start of ${name}`])], ANY);
    this.wantedAge = null; // the checkpoint to show next
    this.records = toggles(row, "networks and variants shown", (shown) => (shown.length > MOST_ITEMS
      ? this.show(`At most ${MOST_ITEMS} records are shown at once; hide one first.`) : this.set({ shown })));
    if (header.checkpoints?.length) {
      this.aging = slider(row, "checkpoint", "The network after so many trials of its training, on the "
        + "recorded observations", (k) => this.age(k));
    }
    if (header.edits) this.whatIf = new WhatIf(this, row);
  }

  /**
   * Shows the network at a checkpoint in place of the first record, or of another checkpoint.
   * While the kernel computes one, only the checkpoint that was asked for last is remembered.
   */
  age(k) {
    this.wantedAge = this.asked.size ? k : null;
    if (this.asked.size) return;
    const { checkpoints, record } = this.overview.header, shown = [...this.get("shown")];
    const earlier = shown.findIndex((name) => /^checkpoint \d+$/.test(name)), at = shown.indexOf(record);
    shown[earlier >= 0 ? earlier : at >= 0 ? at : shown.length - 1] = k < checkpoints.length
      ? `checkpoint ${checkpoints[k]}` : record;
    this.set({ shown: [...new Set(shown)] });
  }

  get origin() { return this.get("align") ? 0 : this.times[0]; }

  /** The step of the axis at which a trial begins: the negative of its step that the axis counts from. */
  firstOf(trial, { header } = this.overview) {
    const align = this.get("align"), start = header.starts[align]?.[this.position(trial)] ?? 0;
    return start > 0 ? -start : 0;
  }

  /** Counts the time from another moment; what is shown, and the span, stay where they are in the trial. */
  align(align) {
    const trial = this.get("trial"), { span, ...rest } = this.selection();
    const start = () => this.timeOf(this.firstOf(trial)), before = start();
    this.model.set("align", align);
    const moved = start() - before;
    this.set({
      align, time: this.get("time") + moved,
      selection: span ? { ...rest, span: span.map((time) => time + moved) } : rest
    });
  }

  /** The trials that the filters leave, as positions. */
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
    const trial = left.includes(this.position(this.get("trial"))) ? {} : this.frame(numbers[left[0]]);
    this.set({ where, ...trial });
  }

  /** Goes on, or back, among the trials left by the filters. */
  turn(by) { this.set(this.frame(this.turned(by))); }

  turned(by) {
    const left = this.left(), { numbers } = this.overview.header;
    const at = left.indexOf(this.position(this.get("trial")));
    return numbers[left[(at + by + left.length) % left.length]];
  }

  /** The overview of a record by its name; null until the kernel has answered. */
  recordOf(name) {
    return name === this.overview.header.record ? this.overview
      : this.load(`overview ${name}`, { ask: "overview", record: name });
  }

  /** The order of the hidden units of a record: unsorted until the kernel has answered. */
  order(record, count) {
    const order = this.get("order"), answer = order === "index" ? null
      : this.load(`order ${record} ${order}`, { ask: "order", order, record }, true);
    return answer?.order.data ?? (this.plain[count] ??= Int32Array.from({ length: count }, (_, k) => k));
  }

  /** What is to be shown of each record: a trial, `number`, or the average of `trials`. @returns {any[]} */
  subjects() {
    const { numbers, conditions } = this.overview.header, view = this.get("view"), by = this.get("by");
    const one = (number) => ({ number }), left = this.left();
    const mean = (some, name, color = null) => ({ trials: some.map((i) => numbers[i]), color, name });
    const trial = this.get("trial"), beside = this.get("beside").filter((number) => number !== trial);
    if (view === "trial") return [trial, ...beside].map(one);
    if (view === "difference") return [one(trial), mean(left, "")];
    if (!by) return [mean(left, "")];
    const { labels, code } = conditions[by];
    return labels.map((label, k) => mean(left.filter((i) => code[i] === k), `, ${spoken(by)} = ${label}`,
      (theme) => conditionColor(theme, k, labels.length))).filter(({ trials }) => trials.length);
  }

  /** Loads what is to be shown; until all of it is there, what was shown stays. What fails is left out. */
  fetch() {
    const subjects = this.subjects(), shown = this.get("shown"), align = this.get("align"), found = [];
    const wanted = shown.flatMap((record) => subjects.map((subject) => ({ record, ...subject })));
    for (const one of wanted) {
      if (found.length === MOST_ITEMS || this.failed.has(this.keyOf(one, align))) continue;
      found.push({ ...one, overview: this.recordOf(one.record), detail: this.detailOf(one, align) });
    }
    this.missing ??= wanted.map((one) => this.failed.get(this.keyOf(one, align))).find(Boolean);
    const ready = found.length > 0 && found.every(({ overview, detail }) => overview && detail);
    this.root.toggleAttribute("aria-busy", !ready);
    this.more = wanted.filter((one) => !this.failed.has(this.keyOf(one, align))).length - found.length;
    this.root.classList.toggle("mpn-stale", !found.length); // what was shown is not what was chosen
    const key = JSON.stringify([found.map((one) => this.keyOf(one, align)), align]);
    if (!ready || (key === this.itemsKey && found.every((one, k) => one.detail === this.items[k].detail))) {
      return;
    }
    if (this.aligned !== align) this.timeZoom = {};
    this.aligned = align;
    this.items = found.map((one, k) => this.item(k, one, align));
    this.itemsKey = key;
    this.serial = (this.serial ?? 0) + 1;
    this.mapsKey = null;
    if (this.get("view") === "trial") { // those that may be next
      for (const number of [1, -1, 2].map((by) => this.turned(by))) {
        const [record] = shown;
        this.ahead(this.keyOf({ record, number }), { ask: "trial", record, trial: number });
      }
    }
  }

  /** The item of what was loaded, with its label. */
  item(k, one, align) {
    const { record, number, trials, overview, detail, name } = one, { averaged, first } = detail.header;
    const unaligned = !trials && align && !(overview.header.starts[align]?.[this.position(number)] >= 0);
    const of = trials ? `mean of ${averaged} trial${averaged === 1 ? "" : "s"}${name}`
      : `trial ${number}${unaligned ? ` (no ${align}: from its start)` : ""}`;
    const named = this.get("shown").length > 1 || record !== this.overview.header.record;
    return new Item(k, {
      ...one, unaligned, origin: this.origin, label: named ? `${record}, ${of}` : of,
      first: trials ? first : this.firstOf(number, overview)
    });
  }

  /** @param {{ record: string, number?: number, trials?: number[] }} one @param {string} [align] */
  keyOf({ record, number, trials }, align) {
    return trials ? `mean ${record} ${JSON.stringify([align, trials])}` : `trial ${record} ${number}`;
  }

  detailOf(one, align) {
    const { record, number: trial, trials } = one;
    const found = this.load(this.keyOf(one, align), trials ? { ask: "mean", record, trials, align }
      : { ask: "trial", record, trial });
    if (!found?.dM || found.M) return found;
    const first = this.recordOf(record)?.header.axes, fact = first && this.recordOf(first);
    const before = fact && this.detailOf({ record: first, number: trial });
    return before && changed(found, before, fact);
  }

  /** Makes panels for all maps and trajectories that there are, and hides those that have nothing. */
  grow() {
    const key = `${this.serial} ${this.get("show")}`;
    if (this.mapsKey === key) return;
    this.mapsKey = key;
    const axes = ({ overview: { header } }) => header.axes, paths = this.items.filter((item, k, all) =>
      all.findIndex((other) => axes(other) === axes(item)) === k).map(({ record }) => record);
    this.stacks.paths.hidden = !this.overview.header.variables.length;
    if (this.stacks.paths.hidden) paths.length = 0;
    const wanted = { h: shownMaps(this.items, ""), M: shownMaps(this.items, this.get("show")), paths };
    for (const [of, Kind] of Object.entries({ h: Hidden, M: Matrix, paths: Trajectories })) {
      wanted[of].forEach((what, k) => {
        this.grown[of][k] ??= this.added(new Kind(this, this.stacks[of], k));
        Object.assign(this.grown[of][k], { what, alone: wanted[of].length < 2 });
      });
      this.grown[of].forEach((panel, k) => { panel.node.hidden = k >= wanted[of].length; });
    }
    this.stacks.M.hidden = this.tools.hidden = !wanted.M.length;
    this.fit(wanted.h.length, this.items.length > 1);
  }

  /** Gives panels the room that they need beside each other. */
  fit(count, several) {
    const [, outputs] = this.panels, { h, M } = this.grown;
    this.change.node.hidden = !this.change.others.length;
    this.stacks.M.classList.toggle("mpn-several", several);
    outputs.plot.style.flexBasis = `${145 + 15 * outputs.rows().length}px`;
    for (const panel of M) panel.left = several ? 42 : 60;
    h.forEach((panel, k) => {
      panel.last = k === count - 1;
      panel.bottom = panel.last ? 36 : 22;
      panel.plot.style.flexBasis = `${several ? 105 : 190}px`;
    });
  }

  added(panel) {
    this.panels.push(panel);
    return panel;
  }

  draw() {
    if (this.wantedAge !== null && !this.asked.size) this.age(this.wantedAge);
    this.fetch();
    if (!this.items.length) return;
    this.grow();
    const step = this.step();
    this.showTime(step);
    this.showControls();
    this.headline();
    for (const panel of this.panels) if (!panel.node.hidden) panel.paint(step);
  }

  showControls() {
    const { header } = this.overview, view = this.get("view"), shown = this.get("shown");
    const [trial, beside] = [this.get("trial"), this.get("beside")];
    const left = this.left(), key = JSON.stringify([this.leftKey, trial, beside, view]);
    if (key !== this.menusKey) { // there may be thousands
      this.menusKey = key;
      const trials = left.map((i) => [header.numbers[i], header.labels[i]]);
      this.chooser.choices(trials, trial);
      this.beside.choices([[ANY, "nothing"], ...trials.filter(([n]) => n !== trial)], beside[0] ?? ANY);
    }
    this.chooser.node.hidden = view === "mean" || header.numbers.length < 2;
    this.beside.node.hidden = view !== "trial" || left.length < 2;
    this.by.select.value = this.get("by");
    this.by.node.hidden = view !== "mean";
    const { outcome, ...rest } = this.get("where"), [other] = Object.entries(rest);
    this.outcome.select.value = outcome ?? ANY;
    this.only.select.value = other ? JSON.stringify([other[0], String(other[1])]) : ANY;
    this.viewer.select.value = view;
    this.aligner.select.value = this.get("align");
    this.records([...new Set([...header.records, ...shown])], shown);
    const ages = header.checkpoints ?? [], found = ages.findIndex((n) => shown.includes(`checkpoint ${n}`));
    const at = this.wantedAge ?? (found < 0 ? ages.length : found);
    this.aging?.show(at, ages.length, at < ages.length ? `${ages[at]} trials` : "as recorded");
    this.whatIf?.show();
    for (const show of this.choosers) show();
  }

  /** What is shown: a trial's own title, or a legend of what is compared. */
  headline() {
    const { items } = this, key = `${this.serial} ${this.theme.name}`;
    if (this.headKey === key) return;
    this.headKey = key;
    const { header } = this.overview, [item] = items;
    if (items.length > 1) {
      const parts = items.map(({ letter, label, number, detail, overview, dash, color }) => ({
        dash,
        color: color?.(this.theme) ?? this.theme.ink, name: `${letter} ${label}`,
        value: [overview.header.labels[this.position(number)]?.replace(/^\d+: /, ""),
        detail.header.conditions.replaceAll("   ", " · ")].filter(Boolean).join(" · ")
      }));
      this.title.replaceChildren();
      legend(this.title)([...parts, ...(this.more ? [{
        note: true, name: `and ${this.more} more, which are `
          + `not shown: at most ${MOST_ITEMS} at once`
      }] : [])]);
      return;
    }
    const words = item.number === undefined ? `${header.task} · ${item.label}`
      : item.overview.header.titles[this.position(item.number)].replaceAll("   ", " · ");
    const { words: done } = item.overview.header;
    this.title.replaceChildren(make("b", { textContent: words }), " ",
      make("span", {
        textContent: [done, item.detail.header.conditions.replaceAll("   ", " · ")]
          .filter(Boolean).join(" · ")
      }));
  }
}

/** A condition's name in words. */
function spoken(name) { return name.replaceAll("_", " "); }

/** Puts an explorer of a model into a place of a page; returns what ends it. */
export function mount(root, model) {
  const app = root.mpn = new TrialExplorer(root, model);
  return () => app.end();
}

export default { render: ({ model, el }) => mount(el, model) };
