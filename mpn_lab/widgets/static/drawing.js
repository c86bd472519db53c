/** What several panels draw: axes, periods, lines, maps. */

import { ticks, words } from "./axes.js";
import { make } from "./controls.js";

/** Runs a drawing that stays within the axes. */
export function clipped(g, draw) {
  g.c.save();
  g.c.beginPath();
  g.c.rect(g.left, g.top, g.width, g.height);
  g.c.clip();
  draw(g.c);
  g.c.restore();
}

/**
 * Draws the frame, ticks and labels of both axes; ticks are [value, text] in place of numbers.
 * @param {Plot} g @param {string} xLabel @param {string} yLabel
 */
export function drawAxes(g, xLabel, yLabel, { xTicks = null, yTicks = null, foot = null } = {}) {
  const { c, X, Y, theme, left, top, width } = g, right = left + width, bottom = foot ?? top + g.height;
  c.strokeStyle = theme.line;
  c.fillStyle = theme.soft;
  c.lineWidth = 1;
  c.strokeRect(left + 0.5, top + 0.5, width - 1, g.height - 1);
  c.textAlign = "center";
  c.textBaseline = "top";
  const across = xTicks ?? ticks(g.x[0], g.x[1], Math.max(2, width / 80)).map((v) => [v, words(v, 4)]);
  for (const [value, text] of across) {
    const at = X(value);
    if (at < left - 1 || at > right + 1) continue;
    c.fillRect(Math.round(at) - 0.5, bottom, 1, 4);
    c.fillText(text, Math.min(Math.max(at, left), right), bottom + 6);
  }
  if (xLabel) c.fillText(xLabel, left + width / 2, bottom + 20);
  c.textAlign = "right";
  c.textBaseline = "middle";
  const sorted = [...g.y].sort((a, b) => a - b);
  const up = yTicks ?? ticks(sorted[0], sorted[1], Math.max(4, g.height / 45)).map((v) => [v, words(v)]);
  for (const [value, text] of up) {
    const at = Y(value);
    const low = top + g.height - (foot === null ? -1 : 6); // what stands below needs room
    if (at < top - 1 || at > low) continue;
    c.fillRect(left - 4, Math.round(at) - 0.5, 4, 1);
    c.fillText(text, left - 7, at);
  }
  if (yLabel) {
    c.save();
    c.translate(9, top + g.height / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText(yLabel, 0, 0);
    c.restore();
  }
}

/** Draws the periods of the first item as pale bands, `tall` pixels above the axes, with their names. */
export function drawPeriods(g, app, { strip = false, tall = 0 } = {}) {
  const { c, X, theme, left, top, width, height } = g, right = left + width;
  const below = strip ? 0 : height;
  c.textAlign = "center";
  c.textBaseline = "middle";
  const [item] = app.items;
  for (const [name, start, end] of item.detail.header.periods) {
    const from = Math.max(left, X(item.timeOf(start) - app.dt / 2));
    const to = Math.min(right, X(item.timeOf(end - 1) + app.dt / 2));
    if (to <= from) continue;
    c.fillStyle = theme.periods[app.overview.header.periods.indexOf(name) % theme.periods.length];
    c.fillRect(from, top - tall, to - from, tall + below);
    c.fillStyle = theme.line;
    if (from > left) c.fillRect(from - 0.5, top - tall, 1, tall + below);
    let text = name;
    while (text.length > 2 && c.measureText(text).width > to - from - 6) {
      text = `${text.replace(/…$/, "").slice(0, -1)}…`;
    }
    c.fillStyle = theme.ink;
    if (tall && text.length > 2) c.fillText(text, (from + to) / 2, top - tall / 2);
  }
}

/** Draws the cursor at a step and the chosen span of time. */
export function drawCursor({ c, X, theme, top, height, left, width }, app, step) {
  const { span } = app.selection(), at = X(app.timeOf(step));
  if (span) {
    c.fillStyle = theme.select;
    c.globalAlpha = 0.18;
    const [from, to] = [X(span[0] - app.dt / 2), X(span[1] + app.dt / 2)]; // all of its steps
    c.fillRect(from, top, to - from, height);
    c.globalAlpha = 1;
  }
  if (at < left || at > left + width) return;
  c.fillStyle = theme.ink;
  c.fillRect(at - 0.75, top, 1.5, height);
}

/** Draws a line through values at the steps of an item, with gaps where they are nan. */
export function drawLine({ c, X, Y }, item, steps, at, style = {}) {
  const { color = "", dash = [], width = 1.8, stairs = false } = style;
  c.beginPath();
  let broken = true;
  for (let t = 0; t < steps; t++) {
    const value = at(t);
    if (Number.isNaN(value)) { broken = true; continue; }
    const y = Y(value), x = X(item.timeOf(t)), half = X(item.timeOf(t) + item.dt / 2) - x;
    if (stairs) {
      if (broken) c.moveTo(x - half, y); else c.lineTo(x - half, y);
      c.lineTo(x + half, y);
    } else if (broken) c.moveTo(x, y); else c.lineTo(x, y);
    broken = false;
  }
  Object.assign(c, { strokeStyle: color, lineWidth: width, lineJoin: "round" });
  c.setLineDash(dash);
  c.stroke();
  c.setLineDash([]);
}

/** Draws the band of a spread about a line. */
export function drawSpread({ c, X, Y }, item, steps, at, spread, color, stairs = false) {
  const points = (t) => (stairs ? [-0.5, 0.5] : [0]).map((part) => X(item.timeOf(t) + part * item.dt));
  c.beginPath();
  for (let start = 0, t = 0; t <= steps; t++) { // a piece for each run of steps that are known
    if (t < steps && !Number.isNaN(at(t) + spread(t))) continue;
    const run = Array.from({ length: t - start }, (_, k) => start + k);
    const above = run.flatMap((k) => points(k).map((x) => [x, Y(at(k) + spread(k))]));
    const below = run.flatMap((k) => points(k).map((x) => [x, Y(at(k) - spread(k))])).reverse();
    [...above, ...below].forEach(([x, y], k) => (k ? c.lineTo(x, y) : c.moveTo(x, y)));
    start = t + 1;
  }
  c.fillStyle = color;
  c.globalAlpha = 0.16;
  c.fill();
  c.globalAlpha = 1;
}

/**
 * Draws a matrix, `at(row, column)`, as a map over [x0, x1] by [y0, y1]; nan stays empty.
 * @param {Plot} g @param {number} rows @param {number} columns @param {(i: number, j: number) => number} at
 * @param {number} scale @param {number[]} across @param {number[]} up
 */
export function drawMap(g, rows, columns, at, scale, [x0, x1], [y0, y1], image = make("canvas")) {
  if (image.width !== columns) image.width = columns;
  if (image.height !== rows) image.height = rows;
  const context = image.getContext("2d"), pixels = context.createImageData(columns, rows);
  const colors = new Uint32Array(pixels.data.buffer), { table } = g.theme;
  for (let i = 0, k = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++, k++) {
      const share = at(i, j) / scale;
      if (share === share) colors[k] = table[Math.round(128 + 128 * Math.min(1, Math.max(-1, share)))];
    }
  }
  context.putImageData(pixels, 0, 0);
  clipped(g, (c) => {
    c.imageSmoothingEnabled = false;
    c.drawImage(image, g.X(x0), g.Y(y0), g.X(x1) - g.X(x0), g.Y(y1) - g.Y(y0));
  });
  Object.assign(g.c, { strokeStyle: g.theme.line, lineWidth: 1 });
  g.c.strokeRect(g.left + 0.5, g.top + 0.5, g.width - 1, g.height - 1);
}

/** The colour bar in a panel's heading: from -scale to scale. */
export function colorBar(panel, scale, theme) {
  const key = `${scale} ${theme.name}`;
  if (panel.barKey === key) return;
  panel.barKey = key;
  const colors = theme.diverging.map((color) => `rgb(${color.join(" ")})`).join(", ");
  panel.note.replaceChildren(words(-scale), make("i", {
    className: "mpn-bar",
    style: `background: linear-gradient(90deg, ${colors})`
  }), words(scale));
}

/** Ticks for the rows of units in an order: their true numbers. */
export function unitTicks(order, [from, to], height) {
  const low = Math.max(0, Math.ceil(Math.min(from, to))), high = Math.min(order.length,
    Math.floor(Math.max(from, to)));
  const every = Math.max(1, Math.ceil((high - low) / Math.max(2, height / 20)));
  const found = [];
  for (let row = low; row < high; row += every) found.push([row + 0.5, `${order[row]}`]);
  return found;
}

/** The point of some paths that is nearest to a place: [path, step], or null beyond `most` pixels. */
export function nearestPoint(paths, place, most) {
  let best = most ** 2, found = null;
  paths.forEach(({ xs, ys }, k) => {
    for (let t = 0; t < xs.length; t++) {
      const distance = (xs[t] - place.px) ** 2 + (ys[t] - place.py) ** 2;
      if (distance < best) { best = distance; found = [k, t]; }
    }
  });
  return found;
}

/** Outlines a box in the colour of what is selected; a thin one stays visible within. */
export function outline({ c, theme }, x0, y0, x1, y1) {
  for (const [color, wide] of [[theme.paper, 4], [theme.select, 2]]) {
    Object.assign(c, { strokeStyle: color, lineWidth: wide });
    c.strokeRect(x0 - 2, y0 - 2, x1 - x0 + 4, y1 - y0 + 4);
  }
}

/** Begins a disc. */
export function disc(c, x, y, radius) {
  c.beginPath();
  c.arc(x, y, radius, 0, 7);
}

/** Writes a sentence in a panel. */
export function write({ c, theme, left, top, width, height }, text) {
  Object.assign(c, { fillStyle: theme.soft, textAlign: "center", textBaseline: "middle" });
  c.fillText(text, left + width / 2, top + height / 2);
}
