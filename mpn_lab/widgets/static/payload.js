/** Decodes what the kernel sends, and keeps trials up to a number of bytes. */

const KINDS = {
  float64: Float64Array, float32: Float32Array, uint16: Uint16Array, int16: Int16Array,
  int32: Int32Array,
};
let halves = null;

/** The value of every 16-bit float, by its bits. */
export function halfValues() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
    else halves[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

/**
 * Decodes arrays, name -> {dtype, shape, at}, to name -> {data, shape}.
 * @param {Layout} arrays @param {DataView[]} buffers @returns {Record<string, Values>}
 */
export function unpack(arrays, buffers) {
  /** @type {Record<string, Values>} */
  const found = {};
  for (const [name, { dtype, shape, at }] of Object.entries(arrays)) {
    const view = buffers[at];
    const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    let data = new (KINDS[dtype === "float16" ? "uint16" : dtype])(bytes);
    if (dtype === "float16") data = Float32Array.from(data, (bits) => halfValues()[bits]);
    found[name] = { data, shape };
  }
  return found;
}

/**
 * The bytes of a base64 text.
 * @param {string} text
 */
export function fromBase64(text) {
  const characters = atob(text), bytes = new Uint8Array(characters.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = characters.charCodeAt(k);
  return new DataView(bytes.buffer);
}

/**
 * M at every step, [time, hidden, input]: as sent, or added up from its factors,
 * M_t = lam M_{t-1} + eta h_t x_t^T.
 * @param {Detail} detail @param {Overview} overview @returns {Values | null}
 */
export function modulations(detail, overview) {
  if (detail.M || !detail.x) return detail.M ?? null;
  const { h, x } = detail, [steps, n] = h.shape, d = x.shape[1], size = n * d;
  const eta = overview.eta.data, lam = overview.lam.data, data = new Float32Array(steps * size);
  let before = startOfM(detail, overview, size);
  for (let t = 0; t < steps; t++) {
    const now = data.subarray(t * size, (t + 1) * size);
    for (let i = 0, k = 0; i < n; i++) {
      const hi = h.data[t * n + i];
      for (let j = 0; j < d; j++, k++) {
        now[k] = lam[k] * before[k] + eta[k] * hi * x.data[t * d + j];
      }
    }
    before = now;
  }
  detail.M = { data, shape: [steps, n, d] };
  return detail.M;
}

/**
 * M before the first step: that of the trial, of the network, or 0.
 * @param {Detail} detail @param {Overview} overview @param {number} size
 */
function startOfM(detail, overview, size) {
  return (detail.M_start ?? overview.M0)?.data ?? new Float32Array(size);
}

/**
 * What the map shows at a step, [hidden, input], written into `out`.
 * @param {string} show @param {number} step @param {Detail} detail @param {Overview} overview
 * @param {boolean} multiplicative @param {Float32Array} out
 */
export function matrixAt(show, step, detail, overview, multiplicative, out) {
  const { data, shape } = modulations(detail, overview), size = shape[1] * shape[2];
  const now = data.subarray(step * size, (step + 1) * size);
  if (show === "effective weights") {
    const W = overview.W.data;
    for (let k = 0; k < size; k++) out[k] = multiplicative ? W[k] * (1 + now[k]) : W[k] + now[k];
  } else if (show === "change of M") {
    const before = step ? data.subarray((step - 1) * size, step * size)
      : startOfM(detail, overview, size);
    for (let k = 0; k < size; k++) out[k] = now[k] - before[k];
  } else out.set(now);
  return out;
}

/**
 * M of a what-if: that of the first record's trial, `before`, and the change.
 * @param {any} detail @param {any} before @param {any} overview of the first record
 */
export function changed(detail, before, overview) {
  const { data, shape } = modulations(before, overview);
  detail.M = { data: detail.dM.data.map((change, k) => data[k] + change), shape };
  return detail;
}

/** Keeps the entries used last, up to a number of bytes, and those `used` since that was emptied. */
export class Cache {
  /** @param {number} most bytes */
  constructor(most) {
    this.most = most;
    /** @type {Map<string, Entry>} */
    this.entries = new Map();
    /** @type {Set<string>} */
    this.used = new Set(); // what is drawn: it stays, however large
  }

  /** @param {string} key */
  get(key) {
    const entry = this.entries.get(key);
    this.used.add(key);
    if (entry) { this.entries.delete(key); this.entries.set(key, entry); }
    return entry;
  }

  /** @param {string} key @param {Entry} entry */
  set(key, entry) {
    this.entries.set(key, entry);
    let bytes = 0;
    for (const [other, held] of [...this.entries].reverse()) {
      bytes += Object.values(held).reduce((sum, a) => sum + (a?.data?.byteLength ?? 0), 0);
      if (bytes > this.most && other !== key && !this.used.has(other)) this.entries.delete(other);
    }
  }
}
