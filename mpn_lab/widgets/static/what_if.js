/** What if: an edit chosen in the explorer, whose effect the kernel computes at once. */

import { words } from "./axes.js";
import { make, menu } from "./controls.js";

const KIND_WORDS = { scale: "scale by 0.5", shuffle: "shuffle units" };
const WHAT_IF = /^what if \d+$/; // the name of such a record
const OPTIONS = { scale: { factor: 0.5 }, shuffle: { over: "units", seed: 0 } };

/** A switch, and where it is on the menus of an edit; every change is computed anew. */
export class WhatIf {
  constructor(app, stack) {
    this.app = app;
    this.on = false;
    this.count = 0; // of the questions that were asked
    this.kind = "zero";
    this.donor = app.overview.header.numbers[0];
    const { kinds, targets } = app.overview.header.edits;
    this.target = targets[0];
    this.switch = make("button", {
      type: "button", textContent: "what if …", "aria-pressed": "false",
      title: "Change something in the network and see what it would have done"
    });
    this.switch.addEventListener("click", () => app.guard(() => this.turn(!this.on)));
    this.row = make("div", { className: "mpn-bar-top mpn-what-if", hidden: true });
    const hints = {
      kind: "What is done to the network; each is a function of mpn_lab.edits",
      target: "What is edited: a state before each of the steps, or an output at them",
      donor: "The trial whose values are put in their place",
      where: "All of it, or the unit or synapse that is selected",
      when: "At which steps; drag with Shift in a panel over time for a span"
    };
    this.menus = {};
    for (const [name, hint] of Object.entries(hints)) {
      this.menus[name] = menu(this.row, name === "kind" ? "edit" : name, hint,
        (value) => this.choose({ [name]: value }));
    }
    this.menus.kind.choices(kinds.map((kind) => [kind, KIND_WORDS[kind] ?? kind]), this.kind);
    this.menus.target.choices(targets, this.target);
    this.words = make("span", { className: "mpn-note" });
    this.row.append(this.words);
    stack.append(this.switch);
    stack.after(this.row);
  }

  turn(on) {
    this.on = on;
    if (on) return this.ask();
    const left = this.app.get("shown").filter((name) => !WHAT_IF.test(name));
    return this.app.set({ shown: left.length ? left : [this.app.overview.header.record] });
  }

  choose(values) {
    Object.assign(this, values);
    this.ask();
  }

  /** What can be chosen: [value, words]; the span first, since it was dragged. */
  moments() {
    const { app } = this, { span } = app.selection(), { periods } = app.detail.header;
    const first = app.items[0].first, shift = app.timeOf(0) + first * app.dt - app.times[0];
    const dragged = span && [span[0] - shift, span[1] + app.dt - shift];
    const found = periods.map(([name]) => [{ during: name }, `during ${name}`]);
    found.push(...periods.map(([name]) => [{ at: name }, `at the first step of ${name}`]));
    found.push([{}, "at all steps"]);
    if (dragged) {
      found.unshift([{ during: dragged }, `from ${words(dragged[0], 6)} to ${words(dragged[1], 6)} ms`]);
    }
    return found.map(([moment, text]) => [JSON.stringify(moment), text]);
  }

  places() {
    const { unit, input } = this.app.selection(), found = [[{}, "all of it"]], { target } = this;
    if (unit !== undefined && !["obs", "x"].includes(target)) found.push([{ units: [unit] }, `unit ${unit}`]);
    if (input !== undefined && target === "M") {
      found.push([{ synapses: [[unit, input]] }, `synapse (${unit}, ${input})`]);
    }
    return found.map(([place, text]) => [JSON.stringify(place), text]);
  }

  /** The edit that is chosen, as `edits.from_json` takes it. */
  edit() {
    const chosen = (options, value) => (options.some(([other]) => other === value) ? value : options[0][0]);
    const { app } = this, moments = this.moments();
    const period = JSON.stringify({ during: app.periodAt(app.step()) });
    if (this.span !== JSON.stringify(app.selection().span)) { // a new span is what is meant
      this.span = JSON.stringify(app.selection().span);
      this.when = moments[0][0];
    }
    this.when = chosen(moments, this.when ?? chosen(moments, period));
    this.where = chosen(this.places(), this.where);
    const options = this.kind === "swap" ? { donor: Number(this.donor) } : OPTIONS[this.kind] ?? {};
    return {
      kind: this.kind, target: this.target, options, ...JSON.parse(this.when),
      ...JSON.parse(this.where)
    };
  }

  /** Asks the kernel for the effect; its answer names the record to show. */
  ask() {
    const { app } = this, edit = this.edit();
    this.asking = `what if ${this.count += 1}: ${JSON.stringify(edit)}`;
    app.show(null);
    app.load(this.asking, { ask: "what if", edits: [edit] });
    app.schedule();
  }

  /** Shows the menus, and the record once the kernel has answered. */
  show() {
    const { app } = this, shown = app.get("shown"), found = this.asking && app.cache.get(this.asking);
    if (found) {
      this.asking = null;
      if (this.on) app.set({ shown: [app.overview.header.record, found.header.record] });
    }
    if (shown.some((name) => WHAT_IF.test(name))) this.on = true; // also when Python has set it
    else if (!this.asking && !found) this.on = false;
    this.switch.ariaPressed = String(this.on);
    this.row.hidden = !this.on;
    if (!this.on) return;
    if (JSON.stringify(app.selection().span) !== this.span && app.selection().span) this.ask();
    this.edit();
    const { numbers, labels } = app.overview.header;
    this.menus.kind.select.value = this.kind;
    this.menus.target.select.value = this.target;
    this.menus.when.choices(this.moments(), this.when);
    this.menus.where.choices(this.places(), this.where);
    this.menus.donor.choices(numbers.map((n, i) => [n, labels[i]]), this.donor);
    this.menus.donor.node.hidden = this.kind !== "swap";
    const name = shown.find((one) => WHAT_IF.test(one)), record = name && app.recordOf(name);
    this.words.textContent = record ? `${name}: ${record.header.words}` : "";
  }
}
