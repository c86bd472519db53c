/** Themes, colours, scales and ticks: what all panels draw with. */

export const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

// One palette a meaning: actions, channels, periods (pale bands with their names on them), and
// conditions, the ordered colours of `conditionColor`. Text has a contrast of at least 5 : 1, lines
// 3 : 1 with the paper and each period; actions, or channels, differ by at least 11 in CIELAB, also
// to those who lack a kind of cone (Machado et al. 2009). Fixation is dashed: it may be closer.
// Eight conditions differ by at least 28 from the first four actions and three channels.
const THEMES = {
  light: {
    ink: "#1b1f24", soft: "#57606a", line: "#d0d7de", paper: "#ffffff", head: "#ffffff",
    select: "#0b7a75",
    actions: ["#4d4d4d", "#0072b2", "#c24e00", "#008561", "#a806f9", "#631c03", "#3c024b"],
    channels: ["#332288", "#117733", "#882255", "#b34de5", "#430a11", "#1f3cf9", "#1c113b",
      "#cb4db2", "#f90647"],
    periods: ["#eceef1", "#dcebf7", "#f7efd2", "#e9e2f4", "#e0f0e3", "#f9e3dd", "#e3eef0"],
    conditions: [[52, 6, 248], [157, 4, 189], [229, 12, 102]],
    diverging: [[5, 48, 97], [67, 147, 195], [255, 255, 255], [214, 96, 77], [103, 0, 31]],
  },
  dark: {
    ink: "#f0f3f6", soft: "#b1bac4", line: "#3d444d", paper: "#15181d", head: "#15181d",
    select: "#4fd1c5",
    actions: ["#b8bec6", "#58b0ee", "#ff8a47", "#3ccb9c", "#b938fa", "#f91f59", "#a8f906"],
    channels: ["#a99bff", "#6fd08c", "#e58bb0", "#958b04", "#6a6afb", "#f4fc83", "#428a4c",
      "#df20b9", "#f9ce1f"],
    periods: ["#23272e", "#1a2f40", "#37311a", "#2e2640", "#1d3324", "#3d2620", "#1d3438"],
    conditions: [[212, 51, 245], [59, 164, 6], [250, 217, 132]],
    diverging: [[146, 205, 255], [45, 118, 176], [21, 24, 29], [190, 76, 58], [255, 176, 152]],
  },
};
const TABLES = {};

/** The theme of the page around an element: of Jupyter, VS Code, Colab, a site, or the system. */
export function themeName(body = document.body, root = document.documentElement) {
  const named = body.dataset.jpThemeLight ?? body.dataset.vscodeThemeKind
    ?? root.dataset.theme ?? body.dataset.theme ?? root.getAttribute("theme");
  if (named) return /^(false|dark)$|dark/.test(named) ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/**
 * Calls back when the theme of the page changes; returns what ends it.
 * @param {() => void} changed
 */
export function watchTheme(changed) {
  const observer = new MutationObserver(changed), query = matchMedia("(prefers-color-scheme: dark)");
  const attributes = {
    attributes: true, attributeFilter: ["data-jp-theme-light", "data-theme",
      "data-vscode-theme-kind", "theme"]
  };
  for (const node of [document.body, document.documentElement]) observer.observe(node, attributes);
  query.addEventListener("change", changed);
  return () => { observer.disconnect(); query.removeEventListener("change", changed); };
}

/**
 * The colours of a theme, and a table for maps.
 * @param {"light" | "dark"} name @returns {Theme}
 */
export function themeColors(name) {
  return { name, ...THEMES[name], table: TABLES[name] ??= colorTable(THEMES[name].diverging) };
}

/**
 * The colour between stops, [[r, g, b], ...], at 0 to 1.
 * @param {number[][]} stops @param {number} share
 */
export function mix(stops, share) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1), k = Math.min(Math.floor(at),
    stops.length - 2);
  return stops[k].map((from, c) => Math.round(from + (at - k) * (stops[k + 1][c] - from)));
}

/**
 * The colour of a condition: of the class `k` of `count`.
 * @param {Theme} theme @param {number} k @param {number} count
 */
export function conditionColor(theme, k, count) {
  return `rgb(${mix(theme.conditions, count > 1 ? k / (count - 1) : 0).join(" ")})`;
}

/**
 * The colour of a channel: fixation grey, the others in their order.
 * @param {Theme} theme @param {string[]} names @param {number} k
 */
export function channelColor(theme, names, k) {
  if (names[k] === "fixation") return theme.soft;
  const before = names.slice(0, k).filter((name) => name !== "fixation").length;
  return theme.channels[before % theme.channels.length];
}

/**
 * 257 colours of a map as 32-bit pixels; the middle one is zero.
 * @param {number[][]} stops
 */
function colorTable(stops) {
  return Uint32Array.from({ length: 257 }, (_, k) => {
    const [r, g, b] = mix(stops, k / 256);
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
}

/**
 * A linear scale from a domain to a range, with its inverse.
 * @param {number[]} domain @param {number[]} range @returns {Scale}
 */
export function linear([from, to], [start, end]) {
  const factor = (end - start) / (to - from || 1), scale = (value) => start + (value - from) * factor;
  scale.invert = (at) => from + (at - start) / factor;
  return scale;
}

/**
 * Round values between two limits, about as many as asked for.
 * @param {number} from @param {number} to @param {number} count
 */
export function ticks(from, to, count) {
  const rough = (to - from) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  if (!Number.isFinite(power) || !(rough > 0)) return [from];
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(from / step - 1e-6); k * step <= to + step * 1e-6; k++) {
    found.push(k * step || 0);
  }
  return found;
}

/**
 * A number in few digits, with a proper minus; a dash for none.
 * @param {number | null | undefined} value
 */
export function words(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e5) return `${value}`.replace("-", "−");
  const rounded = Number(value.toPrecision(digits)), size = Math.abs(rounded);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5)
    ? rounded.toExponential().replace("+", "") : `${rounded}`;
  return text.replaceAll("-", "−");
}

/**
 * The limits of values, wider by a share; of nothing, or of one value, around it.
 * @param {Iterable<number>} values @returns {[number, number]}
 */
export function limitsOf(values, room = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low <= high)) return [-1, 1];
  const wide = (high - low || Math.abs(high) || 1) * room;
  return [low - wide, high + wide];
}

/** The largest magnitude of values, 0 of none; nan counts as none. */
export function largestOf(values) {
  let most = 0;
  for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
  return most;
}
