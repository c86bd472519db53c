/** What every explorer is built on: its place, theme, messages, frames, errors and playing. */

import { themeColors, themeName, watchTheme } from "./axes.js";
import { make } from "./controls.js";
import { Cache, unpack } from "./payload.js";

const HELD = 96e6; // bytes of trials that the browser keeps
const GONE_KERNEL = "The kernel that made this explorer is gone; run its cell again.";

/**
 * An explorer. A subclass builds its controls and panels in `build()`, draws in `draw()` and names
 * the keys that act in `keys`. `model` is anywidget's, or that of an exported page.
 */
export class App {
  /** @param {HTMLElement} root @param {Model} model */
  constructor(root, model) {
    this.root = root;
    this.model = model;
    /** @type {Record<string, () => void>} */
    this.keys = {};
    this.alert = make("div", { className: "mpn-error", role: "alert", hidden: true });
    this.tip = make("div", { className: "mpn-tip", hidden: true });
    this.live = make("div", { className: "mpn-live", "aria-live": "polite" });
    root.classList.add("mpn-app");
    // Else Jupyter takes the keys. It looks at what has the focus before it looks at what is around.
    root.addEventListener("focusin", ({ target }) =>
      /** @type {Element} */(target).setAttribute("data-lm-suppress-shortcuts", "true"));
    root.replaceChildren(this.alert, this.tip, this.live);
    this.endings = [watchTheme(() => this.retheme())];
    this.guard(() => this.start());
  }

  start() {
    this.reload();
    this.listen("msg:custom", (message, sent) => this.receive(message, sent));
    this.listen("comm_live_update", () => { this.gone = GONE_KERNEL; this.show(null); });
    this.retheme();
    this.hidePicture();
    this.build();
    const resized = new ResizeObserver(() => this.schedule());
    resized.observe(this.root);
    this.root.addEventListener("keydown", (event) => this.guard(() => this.key(event)));
    this.endings.push(() => resized.disconnect());
    this.schedule();
  }

  /** @returns {any} */
  build() {}

  draw() {}

  /** Takes the overview anew; what was loaded is asked for again. */
  reload() {
    this.cache = new Cache(HELD);
    /** @type {Record<string, Entry>} */
    this.lasting = {};
    /** @type {Map<string, boolean>} */
    this.asked = new Map(); // key -> lasting
    /** @type {Map<string, string>} */
    this.failed = new Map(); // key -> what went wrong
    const { header, arrays, buffers } = this.model.get("_overview");
    this.overview = /** @type {Overview} */ ({ header, ...unpack(arrays, buffers) });
    this.schedule();
  }

  /** Hides the picture that a saved notebook shows in this explorer's place. */
  hidePicture() {
    const id = this.model.get("_picture");
    if (!id) return;
    const hidden = `#${id}, .jp-OutputArea-child:has(#${id}) { display: none; }`;
    const style = make("style", { textContent: hidden });
    document.head.append(style);
    this.endings.push(() => style.remove());
  }

  /** Ends what outlives the explorer's place in the page. What Jupyter still holds of it is empty. */
  end() {
    cancelAnimationFrame(this.waiting);
    for (const end of this.endings) end();
    this.root.replaceChildren();
    delete this.root.mpn;
    for (const name of Object.keys(this)) delete this[name];
    this.ended = true;
  }

  /** @param {string} event @param {(...given: any) => void} act */
  listen(event, act) {
    const guarded = (...given) => this.guard(() => act(...given));
    this.model.on(event, guarded);
    this.endings.push(() => this.model.off(event, guarded));
  }

  /**
   * Runs something; what goes wrong is shown in the explorer's place.
   * @template T
   * @param {() => T} act @returns {T | undefined}
   */
  guard(act) {
    try {
      return act();
    } catch (error) {
      const line = /[^\s/]+:\d+:\d+/.exec(error.stack ?? "")?.[0] ?? "";
      this.show(error.sentence ?? `${error.name}: ${error.message} (${line})`);
    }
  }

  /**
   * Shows a sentence about what went wrong, or none.
   * @param {string | null} sentence
   */
  show(sentence) {
    this.alert.textContent = sentence ?? this.gone ?? "";
    this.alert.hidden = !this.alert.textContent;
  }

  retheme() {
    /** @type {Theme} */
    this.theme = themeColors(themeName());
    this.root.dataset.mpnTheme = this.theme.name;
    this.schedule();
  }

  /** @param {string} name of a trait */
  get(name) { return this.model.get(name); }

  /**
   * Sets traits, sends them to the kernel, and draws.
   * @param {Record<string, any>} values
   */
  set(values) {
    for (const [name, value] of Object.entries(values)) this.model.set(name, value);
    this.model.save_changes();
    if (Object.keys(values).some((name) => name !== "time")) this.failed.clear(); // it may work now
    this.show(null);
    this.schedule();
  }

  /**
   * What is kept under a key; null, and the kernel is asked, where nothing is.
   * @param {string} key @param {object} question @returns {Entry | null}
   */
  load(key, question, lasting = false) {
    const found = lasting ? this.lasting[key] : this.cache.get(key);
    if (!found) this.ahead(key, question, lasting);
    if (this.failed.has(key)) this.missing = this.failed.get(key);
    return found ?? null;
  }

  /**
   * Asks the kernel for what may be needed next.
   * @param {string} key @param {object} question
   */
  ahead(key, question, lasting = false) {
    if (this.cache.entries.has(key) || this.asked.has(key) || this.failed.has(key)) return;
    this.asked.set(key, lasting);
    this.model.send({ ...question, key });
  }

  /** @param {Answer} message @param {DataView[]} buffers */
  receive(message, buffers) {
    const { key, header, arrays, error } = message, lasting = this.asked.get(key);
    this.asked.delete(key);
    this.gone = null;
    if (error) {
      this.failed.set(key, error);
      this.show(error);
      return;
    }
    const entry = { header, ...unpack(arrays, buffers) };
    if (lasting) this.lasting[key] = entry; else this.cache.set(key, entry);
    this.schedule();
  }

  /** Draws in the next frame, once. */
  schedule() {
    if (this.waiting || this.ended) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      if (!this.root.isConnected || !this.overview) return;
      this.guard(() => {
        this.cache.used.clear();
        this.missing = null;
        this.draw();
        if (this.missing) this.show(this.missing);
      });
      this.root.dataset.frames = `${Number(this.root.dataset.frames ?? 0) + 1}`;
    });
  }

  /**
   * Shows the words for the place under the pointer, or none.
   * @param {string | null} text @param {MouseEvent} [event]
   */
  readout(text, event) {
    this.tip.hidden = !text;
    if (!text) return;
    this.tip.textContent = text;
    const frame = this.root.getBoundingClientRect(), x = event.clientX - frame.left;
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, x + 14 + wide > frame.width ? x - wide - 10 : x + 14)}px`;
    this.tip.style.top = `${event.clientY - frame.top + 16}px`;
  }

  /**
   * Plays or pauses: `advance()` goes one step on and returns whether there is another.
   * @param {() => boolean} advance @param {() => number} rate steps a second
   */
  play(advance, rate) {
    if (this.playing) { this.playing = null; return; }
    const playing = this.playing = {};
    let due = performance.now();
    const frame = (now) => {
      if (this.playing !== playing || !this.root.isConnected) return;
      if (now >= due - 2) {
        due = Math.max(due + 1000 / rate(), now - 100);
        if (!this.guard(advance)) this.playing = null;
      }
      if (this.playing) requestAnimationFrame(frame); else this.schedule();
    };
    requestAnimationFrame(frame);
  }

  /**
   * Acts on a key, unless a control has a use for it.
   * @param {KeyboardEvent} event
   */
  key(event) {
    const target = /** @type {HTMLElement} */ (event.target), menu = target.tagName === "SELECT";
    const own = {
      SELECT: /^[ -~]$|^(Arrow|Home|End|Page|Enter)/, BUTTON: /^( |Enter)$/,
      INPUT: /^(ArrowLeft|ArrowRight|Home|End)/
    }[target.tagName];
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || menu || own?.test(event.key)) return;
    const act = this.keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
