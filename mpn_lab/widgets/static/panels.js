/** Panels: a canvas with axes, zoom, and a value under the pointer. */

import { FONT, linear } from "./axes.js";
import { make, legend } from "./controls.js";

const NEAR = 4; // pixels that a click may move
const DOUBLE = 500; // ms between the clicks of a double one
const RIGHT = 12; // pixels right of the plot
export const ZOOM = "zoom: drag, wheel with Ctrl, + and −; all: double click, 0";

/**
 * A panel of an explorer, `app`. A subclass gives what `paint` and the pointer ask for.
 * @template [A=any]
 */
export class Panel {
  /** @param {A & Shower} app @param {HTMLElement} stack @param {string} title @param {string} hint */
  constructor(app, stack, title, hint, { grow = 1, least = 150, left = 64, bottom = 34, top = 8 } = {}) {
    this.app = app;
    this.left = left;
    this.bottom = bottom;
    this.top = top;
    this.flat = false; // whether only the horizontal axis is zoomed
    /** @type {Limits} */
    this.zoomed = {};
    this.back = make("canvas");
    this.heading = make("h3", { textContent: title, title: hint });
    this.tools = make("div", { className: "mpn-tools" });
    this.note = make("span", { className: "mpn-note" });
    this.canvas = make("canvas", { tabIndex: 0, title: "" });
    this.canvas.setAttribute("role", "img");
    this.describe(title);
    this.plot = make("div", { className: "mpn-plot", style: `flex: ${grow} 1 ${least}px` }, this.canvas);
    this.node = make("section", { className: "mpn-panel" },
      make("header", {}, this.heading, this.note, this.tools), this.plot);
    this.legend = legend(this.node);
    stack.append(this.node);
    this.listen();
  }

  /** The limits of the axes when not zoomed. @returns {Limits} */
  domain() { return {}; }

  /** What the base depends on. @returns {any} */
  key() { return null; }

  /** Draws what stays. @param {Plot} _ */
  base(_) {}

  /** Draws what moves with time. @param {Plot} _ @param {number} __ */
  over(_, __) {}

  /** The words for a place. @param {Place} _ @returns {string | null} */
  read(_) { return null; }

  /** Does what a click at a place does. @param {Place} _ */
  pick(_) {}

  /** Selects what lies to the right or below, or left or above. @param {number} _ @param {number} __ */
  nudge(_, __) {}

  /** The limits that were zoomed to. @returns {Limits} */
  get zoom() { return this.zoomed; }

  set zoom(zoom) { this.zoomed = zoom; }

  /** Limits of the axes: those of the domain, or of the zoom. */
  limits() {
    const home = this.domain();
    return { x: this.zoom.x ?? home.x, y: this.zoom.y ?? home.y };
  }

  setZoom(zoom) { this.zoom = zoom; this.app.schedule(); }

  /** Draws the panel at a step: the base anew only where what it depends on has changed. */
  paint(step) {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    if (!width || !height) return;
    const ratio = globalThis.devicePixelRatio || 1, { x, y } = this.limits();
    const box = {
      left: this.left, top: this.top, width: width - this.left - RIGHT,
      height: height - this.top - this.bottom
    };
    const X = linear(x, [box.left, box.left + box.width]);
    const Y = linear(y, [box.top + box.height, box.top]);
    /** @type {Plot} */
    const g = this.g = { X, Y, x, y, ...box, full: { width, height }, theme: this.app.theme };
    const key = JSON.stringify([width, height, ratio, x, y, g.theme.name, this.key()]);
    if (key !== this.drawn) {
      this.drawn = key;
      for (const canvas of [this.canvas, this.back]) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      this.begin(this.back, ratio, g);
      this.base(g);
    }
    this.begin(this.canvas, ratio, g);
    g.c.drawImage(this.back, 0, 0, width, height);
    this.over(g, step);
    if (this.band) this.rubber(g);
  }

  begin(canvas, ratio, g) {
    g.c = canvas.getContext("2d");
    g.c.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.c.clearRect(0, 0, g.full.width, g.full.height);
    g.c.font = FONT;
  }

  /** Says in the canvas's place what a sighted person reads off it. */
  describe(text) {
    if (this.canvas.ariaLabel !== text) this.canvas.ariaLabel = text;
  }

  /** @param {Plot} g */
  rubber({ c, theme, top, height }) {
    const { from, to, span } = this.band, flat = this.flat || span;
    c.fillStyle = span ? theme.select : theme.ink;
    c.globalAlpha = 0.14;
    c.fillRect(from.px, flat ? top : from.py, to.px - from.px, flat ? height : to.py - from.py);
    c.globalAlpha = 1;
  }

  /** The place of a pointer event, in pixels and in the axes' units. */
  place(event) {
    const frame = this.canvas.getBoundingClientRect(), { X, Y } = this.g;
    const px = event.clientX - frame.left, py = event.clientY - frame.top;
    return { px, py, x: X.invert(px), y: Y.invert(py) };
  }

  inside({ px, py }) {
    const { left, top, width, height } = this.g;
    return px >= left - 1 && px <= left + width + 1 && py >= top - 1 && py <= top + height + 1;
  }

  listen() {
    const on = (name, act) => this.canvas.addEventListener(name, (event) => {
      if (this.g && this.app.ready()) this.app.guard(() => act(event));
    });
    on("pointerdown", (event) => {
      const from = this.place(event);
      if (event.button || !this.inside(from)) return;
      this.canvas.setPointerCapture(event.pointerId);
      if (performance.now() - (this.pressed ?? -DOUBLE) > DOUBLE) this.before = this.app.here?.();
      this.pressed = performance.now();
      this.press = { from, span: event.shiftKey && this.flat && this.app.select };
    });
    on("pointermove", (event) => {
      const at = this.place(event);
      if (this.press && Math.hypot(at.px - this.press.from.px, at.py - this.press.from.py) > NEAR) {
        this.band = { ...this.press, to: at };
      }
      this.app.readout(this.band || !this.inside(at) ? null : this.read(at), event);
      this.app.schedule();
    });
    on("pointerup", (event) => {
      const { band, press } = this, at = this.place(event);
      this.band = this.press = null;
      if (band) this.choose(band.from, at, band.span);
      else if (press) this.pick(at);
      this.app.schedule();
    });
    on("pointercancel", () => { this.band = this.press = null; });
    on("pointerleave", () => { this.app.readout(null); this.hovered = null; this.app.schedule(); });
    on("dblclick", () => { // shows all, and takes back what its clicks did
      if (this.before) this.app.set(this.before);
      this.setZoom({});
    });
    this.canvas.addEventListener("wheel", (event) => { // else the page scrolls
      if (!this.g || !(event.ctrlKey || event.metaKey || document.activeElement === this.canvas)) return;
      event.preventDefault();
      this.zoomBy(Math.exp(Math.sign(event.deltaY) * 0.2), this.place(event));
    }, { passive: false });
    on("keydown", (event) => {
      const { key } = event, factor = { "+": 0.8, "=": 0.8, "-": 1.25 }[key], { x, y } = this.limits();
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (factor) this.zoomBy(factor, { x: (x[0] + x[1]) / 2, y: (y[0] + y[1]) / 2 });
      else if (key === "0") this.setZoom({});
      else if (event.shiftKey && way) this.nudge(way[0], way[1]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** Zooms about a place, never out of the domain. */
  zoomBy(factor, at) {
    const { x, y } = this.limits(), home = this.domain();
    const about = ([a, b], z, [low, high]) => {
      const ends = [z + (a - z) * factor, z + (b - z) * factor];
      return low < high ? [Math.max(low, ends[0]), Math.min(high, ends[1])]
        : [Math.min(low, ends[0]), Math.max(high, ends[1])];
    };
    this.setZoom({ x: about(x, at.x, home.x), ...(this.flat ? {} : { y: about(y, at.y, home.y) }) });
  }

  /** What dragging from a place to another does: a zoom, or with Shift a span of time. */
  choose(from, to, span) {
    const home = this.limits(), near = (side) => Math.abs(from[side] - to[side]) <= NEAR;
    const x = near("px") ? home.x : [from.x, to.x].sort((a, b) => a - b);
    const y = near("py") ? home.y : [from.y, to.y].sort((a, b) => (a - b) * (home.y[1] - home.y[0]));
    if (span) this.app.select({ span: x.map((value) => this.app.timeAt(value)) });
    else this.setZoom(this.flat ? { x } : { x, y });
  }
}
