/** What if: an edit chosen in the explorer, whose effect the kernel computes at once. */

import { words } from "./axes.js";
import { make, menu } from "./controls.js";

const KIND_WORDS = { scale: "scale by 0.5", shuffle: "shuffle units" };
const WHAT_IF = /^what if \d+$/; // the name of such a record
const OPTIONS = { scale: { factor: 0.5 }, shuffle: { over: "units", seed: 0 } };
const HINTS = {
  kind: "What is done to the network; each is a function of mpn_lab.edits",
  target: "What is edited: a state before each of the steps, or an output at them",
  donor: "The trial whose values are put in their place",
  where: "All of it, or the unit or synapse that is selected",
  when: "At which steps; drag with Shift in a panel over time for a span"
};

/** A switch, and where it is on the menus of an edit; every change is computed anew. */
export class WhatIf {
  constructor(app, stack) {
    const { kinds, targets } = app.overview.header.edits;
    this.app = app;
    this.count = 0; // of the questions that were asked
    this.asking = ""; // the key of the last one, while it is not answered
    this.kind = kinds[0];
    this.target = targets[0];
    this.donor = null; // a trial's number; none: the first one that is not shown
    this.where = "{}";
    this.when = "";
    this.texts = {}; // of all that was offered: where and when
    this.switch = make("button", {
      type: "button", textContent: "what if …", "aria-pressed": "false",
      title: "Change something in the network and see what it would have done"
    });
    this.switch.addEventListener("click", () => app.guard(() => this.turn()));
    this.row = make("div", { className: "mpn-bar-top mpn-what-if", hidden: true });
    this.menus = {};
    for (const [name, hint] of Object.entries(HINTS)) {
      this.menus[name] = menu(this.row, name === "kind" ? "edit" : name, hint,
        (value) => app.guard(() => this.choose({ [name]: value })));
    }
    this.menus.kind.choices(kinds.map((kind) => [kind, KIND_WORDS[kind] ?? kind]), this.kind);
    this.words = make("span", { className: "mpn-note" });
    this.row.append(this.words);
    stack.append(this.switch);
    stack.after(this.row);
  }

  /** The name of the what-if that is shown, if one is. */
  get shown() { return this.app.get("shown").find((name) => WHAT_IF.test(name)); }

  /** The number of the donor. */
  get giver() {
    const { app } = this, { numbers } = app.overview.header;
    return Number(this.donor ?? numbers.find((number) => number !== app.get("trial")) ?? numbers[0]);
  }

  turn() {
    if (!this.shown && !this.asking) return this.ask();
    const left = this.app.get("shown").filter((name) => !WHAT_IF.test(name));
    this.asking = "";
    return this.app.set({ shown: left.length ? left : [this.app.overview.header.record] });
  }

  choose(values) {
    Object.assign(this, values);
    if (!this.targets.includes(this.target)) [this.target] = this.targets;
    this.ask();
  }

  /** What can be edited: only a state has an update that can be frozen. */
  get targets() {
    const { targets, states } = this.app.overview.header.edits;
    return this.kind === "freeze" ? states : targets;
  }

  /** The span that was dragged, as JSON; none where times count from another moment in each trial. */
  get span() { return this.app.get("align") ? undefined : JSON.stringify(this.app.selection().span); }

  /** When an edit can act, [value, words]: in the span that was dragged, in a period, at its start. */
  moments() {
    const { app } = this, { periods } = app.detail.header, found = [];
    if (this.span) {
      const [from, to] = app.selection().span, during = [from, to + app.dt];
      found.push([{ during }, `from ${words(during[0], 6)} to ${words(during[1], 6)} ms of the trial`]);
    }
    found.push(...periods.map(([name]) => [{ during: name }, `during ${name}`]));
    found.push(...periods.map(([name]) => [{ at: name }, `at the first step of ${name}`]));
    found.push([{}, "at all steps"]);
    return this.offered(found, "when");
  }

  /** What an edit can act on: all of it, or the unit or synapse that is selected. */
  places() {
    const { unit, input } = this.app.selection(), found = [[{}, "all of it"]], { target } = this;
    if (unit !== undefined && !["obs", "x"].includes(target)) found.push([{ units: [unit] }, `unit ${unit}`]);
    if (unit !== undefined && input !== undefined && target === "M") {
      found.push([{ synapses: [[unit, input]] }, `synapse (${unit}, ${input})`]);
    }
    return this.offered(found, "where");
  }

  /** Options with JSON for values; what is chosen stays among them. */
  offered(found, name) {
    const options = found.map(([value, text]) => [JSON.stringify(value), text]);
    for (const [value, text] of options) this.texts[value] = text;
    const chosen = this[name];
    if (chosen in this.texts && !options.some(([value]) => value === chosen)) {
      options.push([chosen, this.texts[chosen]]);
    }
    return options;
  }

  /** Asks the kernel what the edit that is chosen does; it then shows the record. */
  ask() {
    const { app } = this, moments = this.moments();
    if (this.asked !== this.span && this.span) this.when = moments[0][0]; // the span is meant
    this.asked = this.span;
    const period = app.periodAt(app.step());
    this.when ||= JSON.stringify(period ? { during: period } : {});
    if (this.kind === "swap") this.donor ??= this.giver; // it stays when the trial changes
    if (this.where !== "{}" && ["obs", "x"].includes(this.target)) this.where = "{}"; // they have no units
    const options = this.kind === "swap" ? { donor: this.giver } : OPTIONS[this.kind] ?? {};
    const edit = {
      kind: this.kind, target: this.target, options, ...JSON.parse(this.when), ...JSON.parse(this.where)
    };
    this.asking = `what if ${this.count += 1}: ${JSON.stringify(edit)}`;
    app.show(null);
    app.ahead(this.asking, { ask: "what if", edits: [edit] });
    app.schedule();
  }

  /** Shows the menus; a span that was dragged meanwhile is computed. */
  show() {
    const { app, shown } = this;
    if (this.asking && !app.asked.has(this.asking)) {
      if (app.failed.has(this.asking)) app.missing = app.failed.get(this.asking);
      else this.asking = "";
    }
    const on = Boolean(shown || this.asking);
    if (!this.on) this.asked = this.span; // also when Python has set the edit
    else if (on && this.span && this.span !== this.asked) this.ask();
    this.on = on;
    this.switch.ariaPressed = String(on);
    this.row.hidden = !on;
    if (!on) return;
    const { numbers, labels } = app.overview.header;
    this.menus.kind.select.value = this.kind;
    this.menus.target.choices(this.targets, this.target);
    this.menus.when.choices(this.moments(), this.when);
    this.menus.where.choices(this.places(), this.where);
    this.menus.donor.choices(numbers.map((n, i) => [n, labels[i]]), this.giver);
    this.menus.donor.node.hidden = this.kind !== "swap";
    const record = shown && app.recordOf(shown);
    this.words.textContent = record ? `${shown}: ${record.header.words}` : "";
  }
}
