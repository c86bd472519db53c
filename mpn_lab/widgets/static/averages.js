/** Averages over the trials of a page; in a notebook the kernel answers the same question. */

import { modulations } from "./payload.js";

/**
 * The mean and the standard deviation over trials at each step, as `averaged` in averages.py has
 * them: {header, arrays}, the arrays as name -> {data, shape}; or {error}.
 *
 * `positions` are those of the trials in the overview; `read` gives what the page holds of one.
 */
export function averageTrials(positions, read, overview, align) {
  const { lengths, starts } = overview.header, start = (i) => (align ? starts[align]?.[i] ?? -1 : 0);
  const kept = positions.filter((i) => start(i) >= 0), sums = {};
  if (!kept.length) {
    return {
      error: positions.length
        ? `None of the trials to average has the period '${align}'; align to another, or remove some filters.`
        : "No trial is left to average; remove some filters."
    };
  }
  const before = Math.max(...kept.map(start)), shift = (i) => before - start(i);
  const count = new Int32Array(Math.max(...kept.map((i) => shift(i) + lengths[i])));
  const longest = kept.reduce((a, b) => (lengths[b] > lengths[a] ? b : a));
  const begun = [];
  let periods;
  for (const i of kept) {
    const detail = read(i), { obs, Q, h, reward } = detail, M = modulations(detail, overview);
    const steps = [...Array(lengths[i]).keys()].filter((t) => !Number.isNaN(Q.data[t * Q.shape[1]]));
    for (const t of steps) count[t + shift(i)]++;
    for (const [name, values] of Object.entries({ obs, Q, h, reward, M })) {
      if (values) addTrial(sums[name] ??= noSums(values, count), values, steps, shift(i), count);
    }
    if (detail.M_start && shift(i) === 0 && steps[0] === 0) begun.push(detail.M_start);
    if (i === longest) {
      periods = detail.header.periods.map(([name, a, b]) => [name, a + shift(i), b + shift(i)]);
    }
  }
  const arrays = { count: { data: count, shape: [count.length] } };
  for (const [name, { mean, squares, shape }] of Object.entries(sums)) {
    const of = (k) => count[Math.floor(k * count.length / mean.length)]; // 0: what is divided is nan
    arrays[name] = { data: Float32Array.from(mean, (value, k) => of(k) ? value : NaN), shape };
    if (name !== "reward") {
      const data = Float32Array.from(squares, (value, k) => Math.sqrt(value / of(k)));
      arrays[`${name}_sd`] = { data, shape };
    }
  }
  if (begun.length) {
    const [{ data, shape }] = begun, mean = (k) => begun.reduce((sum, one) => sum + one.data[k], 0);
    arrays.M_start = { data: data.map((_, k) => mean(k) / begun.length), shape };
  }
  return { header: { periods, conditions: "", averaged: kept.length, first: -before }, arrays };
}

function noSums({ shape: [, ...own] }, count) {
  const size = own.reduce((product, n) => product * n, count.length);
  return { mean: new Float64Array(size), squares: new Float64Array(size), shape: [count.length, ...own] };
}

/** Adds a trial to the means and the sums of squares (Welford); `count` has it already. */
function addTrial({ mean, squares }, { data }, steps, shift, count) {
  const size = mean.length / count.length;
  for (const t of steps) {
    const n = count[t + shift], to = (t + shift) * size, from = t * size;
    for (let k = 0; k < size; k++) {
      const value = data[from + k], off = value - mean[to + k];
      mean[to + k] += off / n;
      squares[to + k] += off * (value - mean[to + k]);
    }
  }
}
