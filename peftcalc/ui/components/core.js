// Python's arithmetic, function for function (`tests/e2e/test_core.py`); matrices are flat.
const f = Math.fround;
const word = new DataView(new ArrayBuffer(8));

/** Ties to the even, as torch rounds. */
export function roundEven(x) {
  const low = Math.floor(x), part = x - low;
  return part < 0.5 ? low : part > 0.5 ? low + 1 : low % 2 === 0 ? low : low + 1;
}

export function product(B, A, n, r, m, s = 1) {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < r; k++) {
      const b = B[i * r + k];
      if (b !== 0) for (let j = 0; j < m; j++) out[i * m + j] += b * A[k * m + j];
    }
  }
  if (s !== 1) for (let i = 0; i < out.length; i++) out[i] *= s;
  return out;
}

export const trained = (n, m, r) => r * (n + m);

export function norm(x) {
  let sum = 0;
  for (const v of x) sum += v * v;
  return Math.sqrt(sum);
}

export function decompose(before, after, n, m) {
  const rows = { magnitude: 0, direction: 0, m0: [], m: [], lengths: [], turns: [] };
  for (let i = 0; i < n; i++) {
    const w0 = before.slice(i * m, (i + 1) * m), w = after.slice(i * m, (i + 1) * m), m0 = norm(w0), m1 = norm(w);
    let turn = 0;
    if (m0 > 0 && m1 > 0) for (let j = 0; j < m; j++) turn += (w[j] / m1 - w0[j] / m0) ** 2;
    rows.m0.push(m0);
    rows.m.push(m1);
    rows.lengths.push(m0 > 0 ? (m1 - m0) / m0 : m1 > 0 ? Infinity : 0);
    rows.turns.push(turn / 2);
    rows.magnitude += Math.abs(m1 - m0) / n;
    rows.direction += turn / 2 / n;
  }
  return rows;
}

/** One-sided Jacobi. */
export function singularValues(M, n, m) {
  const wide = n <= m, count = wide ? n : m, length = wide ? m : n;
  const rows = Array.from({ length: count }, (_, i) =>
    Float64Array.from({ length }, (_, j) => (wide ? M[i * m + j] : M[j * m + i])));
  for (let sweep = 0, turned = true; turned && sweep < 40; sweep++) {
    turned = false;
    for (let p = 0; p < count - 1; p++) for (let q = p + 1; q < count; q++) turned = rotate(rows[p], rows[q]) || turned;
  }
  return rows.map(norm).sort((a, b) => b - a);
}

function rotate(x, y) {
  let xx = 0, yy = 0, xy = 0;
  for (let i = 0; i < x.length; i++) { xx += x[i] * x[i]; yy += y[i] * y[i]; xy += x[i] * y[i]; }
  if (Math.abs(xy) <= 1e-15 * Math.sqrt(xx * yy) || xy === 0) return false;
  const zeta = (yy - xx) / (2 * xy), t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
  const c = 1 / Math.hypot(1, t), s = c * t;
  for (let i = 0; i < x.length; i++) { const a = x[i], b = y[i]; x[i] = c * a - s * b; y[i] = s * a + c * b; }
  return true;
}

/** Those of the r × r matrix between orthonormal factors. */
export function spectrumOfProduct(B, A, n, r, m, s = 1) {
  if (r >= Math.min(n, m)) return singularValues(product(B, A, n, r, m, s), n, m);
  const columns = Array.from({ length: r }, (_, k) => Float64Array.from({ length: n }, (_, i) => B[i * r + k]));
  const rows = Array.from({ length: r }, (_, k) => Float64Array.from(A.slice(k * m, (k + 1) * m)));
  const left = triangle(columns), right = triangle(rows), small = new Float64Array(r * r);
  for (let i = 0; i < r; i++) for (let j = 0; j < r; j++) for (let k = 0; k < r; k++) small[i * r + j] += left[i * r + k] * right[j * r + k];
  return singularValues(small, r, r).map(value => Math.abs(s) * value);
}

/** R of QR: Gram–Schmidt, twice. */
function triangle(columns) {
  const r = columns.length, R = new Float64Array(r * r);
  columns.forEach((column, k) => {
    for (let pass = 0; pass < 2; pass++) for (let i = 0; i < k; i++) {
      let dot = 0;
      for (let j = 0; j < column.length; j++) dot += columns[i][j] * column[j];
      R[i * r + k] += dot;
      for (let j = 0; j < column.length; j++) column[j] -= dot * columns[i][j];
    }
    const length = norm(column);
    R[k * r + k] = length;
    for (let j = 0; j < column.length; j++) column[j] = length > 0 ? column[j] / length : 0;
  });
  return R;
}

export const NF4 = Float32Array.of(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0);
const both = positive => Float32Array.from([...positive, ...positive.map(v => -v)]);
/** bitsandbytes' table, not E2M1. */
export const FP4 = both([0, 0.0625, 8, 12, 4, 6, 2, 3].map(v => v / 12));
export const E2M1 = both([0, 0.5, 1, 1.5, 2, 3, 4, 6]);
export const TOP = { int8: 127, int4: 7 };

export function grid(format) {
  const table = { nf4: NF4, fp4: FP4, mxfp4: E2M1 }[format];
  if (table) return Float32Array.from(new Set(table.map(v => v + 0))).sort();
  const top = TOP[format];
  return Float32Array.from({ length: 2 * top + 1 }, (_, i) => f((i - top) / top));
}

export function quantize(x, format, size) {
  const n = x.length, numbers = Float32Array.from(x), into = { codes: new Int16Array(n), back: new Float32Array(n), scales: [] };
  for (let start = 0; start < n; start += size) {
    const stop = Math.min(n, start + size);
    let absmax = 0;
    for (let i = start; i < stop; i++) absmax = Math.max(absmax, Math.abs(numbers[i]));
    if (format === "mxfp4") mxBlock(numbers, start, stop, absmax, into);
    else if (format in TOP) integerBlock(numbers, start, stop, absmax, TOP[format], into);
    else tableBlock(numbers, start, stop, absmax, TABLES[format], stop - start < size, into);
  }
  return into;
}

/** torch divides a number by a tensor as reciprocal, then product. */
function integerBlock(x, start, stop, absmax, top, { codes, back, scales }) {
  let factor = f(f(1 / absmax) * top);
  if (!Number.isFinite(factor)) factor = 0;
  for (let i = start; i < stop; i++) {
    codes[i] = roundEven(f(x[i] * factor));
    back[i] = f(f(codes[i] / top) * absmax);
  }
  scales.push(absmax);
}

function sorted(values) {
  const order = Array.from(values, (_, code) => code).sort((a, b) => values[a] - values[b] || a - b);
  return { values, order, bounds: order.slice(1).map((code, i) => f(f(values[order[i]] + values[code]) / 2)) };
}
const TABLES = { nf4: sorted(NF4), fp4: sorted(FP4) };
const SMALLEST = f(1e-38);

/** Times the reciprocal; a last, shorter block is divided. */
function tableBlock(x, start, stop, absmax, { values, order, bounds }, short, { codes, back, scales }) {
  const safe = Math.max(absmax, SMALLEST), inverse = f(1 / safe), scale = short ? safe : absmax;
  for (let i = start; i < stop; i++) {
    const quotient = short ? f(x[i] / safe) : f(x[i] * inverse);
    let rank = 0;
    while (rank < 15 && quotient > bounds[rank]) rank++;
    codes[i] = order[rank];
    back[i] = f(values[codes[i]] * scale);
  }
  scales.push(scale);
}

function mxBlock(x, start, stop, absmax, { codes, back, scales }) {
  word.setFloat32(0, absmax);
  const e = Math.max(0, (word.getUint32(0) >>> 23) - 2), scale = 2 ** (e - 127), factor = 2 ** (127 - e);
  for (let i = start; i < stop; i++) {
    const quotient = f(x[i] * factor), a = Math.abs(quotient);
    const code = Math.min(7, roundEven(2 * a), roundEven(a) + 2, roundEven(a / 2) + 4);
    codes[i] = code | (quotient < 0 || Object.is(quotient, -0) ? 8 : 0);
    back[i] = f(E2M1[codes[i]] * scale);
  }
  scales.push(scale);
}

export const normalised = (x, scale, format) => (scale > 0 ? f(f(f(x) / scale) * (TOP[format] ?? 1)) : f(x));

export function packed(codes, format) {
  if (format === "int8") return Uint8Array.from(codes);
  const low = format === "mxfp4" ? 0 : 4;
  return Uint8Array.from({ length: codes.length / 2 }, (_, i) => ((codes[2 * i] & 15) << low) | ((codes[2 * i + 1] & 15) << (4 - low)));
}

export function quantizationError(x, back) {
  let squares = 0, most = 0;
  for (let i = 0; i < x.length; i++) {
    const error = back[i] - f(x[i]);
    squares += error * error;
    most = Math.max(most, Math.abs(error));
  }
  return { rmse: Math.sqrt(squares / x.length), maxAbs: most };
}

const layout = (exponent, fraction, infinity = true) => ({
  exponent, fraction, infinity, bits: 1 + exponent + fraction, bias: 2 ** (exponent - 1) - 1,
  special: infinity ? (2 ** exponent - 1) * 2 ** fraction : 2 ** (exponent + fraction) - 1,
});
export const FORMATS = {
  float32: layout(8, 23), float16: layout(5, 10), bfloat16: layout(8, 7), float8_e4m3fn: layout(4, 3, false),
  float8_e5m2: layout(5, 2), int8: layout(0, 7), int4: layout(0, 3),
};

export function pattern(number, format, step = 1) {
  const form = FORMATS[format], { fraction, bits, bias, special } = form;
  if (!form.exponent) {
    const code = roundEven(Math.min(Math.max(number / step, -(2 ** fraction)), 2 ** fraction - 1));
    return code < 0 ? code + 2 ** bits : code;
  }
  const x = f(number), sign = x < 0 || Object.is(x, -0) ? 2 ** (bits - 1) : 0, size = Math.abs(x);
  if (Number.isNaN(x)) return special + (form.infinity ? 2 ** (fraction - 1) : 0);
  const overflow = form.infinity ? special : special - 1;
  if (size === 0 || size === Infinity) return sign + (size ? overflow : 0);
  const e = Math.max(exponentOf(size), 1 - bias), steps = roundEven(size * 2 ** (fraction - e));
  return sign + Math.min((e + bias - 1) * 2 ** fraction + steps, overflow);
}

export function fromBits(bits, format, step = 1) {
  const form = FORMATS[format], { fraction, bias, special } = form, top = 2 ** (form.bits - 1);
  if (!form.exponent) return (bits >= top ? bits - 2 * top : bits) * step;
  const sign = bits >= top ? -1 : 1, size = bits % top;
  if (size >= special) return form.infinity && size === special ? sign * Infinity : NaN;
  const e = Math.floor(size / 2 ** fraction), part = (size % 2 ** fraction) + (e ? 2 ** fraction : 0);
  return sign * part * 2 ** (Math.max(e, 1) - bias - fraction);
}

export function fields(bits, format) {
  const { exponent, bits: width } = FORMATS[format], text = bits.toString(2).padStart(width, "0");
  return { sign: text[0], exponent: text.slice(1, 1 + exponent), fraction: text.slice(1 + exponent) };
}

function exponentOf(size) {
  word.setFloat64(0, size);
  return ((word.getUint16(0) >> 4) & 0x7ff) - 1023; // every float32 but zero is a normal float64
}

/** mulberry32 */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function tinyTask(target, n, m, samples, noise, seed) {
  if (!samples) return { samples: m, X: Float64Array.from({ length: m * m }, (_, k) => Number(k % (m + 1) === 0)), Y: transposed(target, n, m) };
  const next = random(seed), drawn = Float64Array.from({ length: samples * (m + n) }, () => (2 * next() - 1) * Math.sqrt(3));
  const X = drawn.slice(0, samples * m), Y = product(X, transposed(target, n, m), samples, m, n);
  for (let k = 0; k < Y.length; k++) Y[k] += noise * drawn[samples * m + k];
  return { samples, X, Y };
}

function transposed(M, n, m) {
  return Float64Array.from({ length: n * m }, (_, k) => M[(k % n) * m + Math.floor(k / n)]);
}

export function tinyRun(task, held, n, m, { rank: r, scale: s, rate, steps, dropout = 0, seed = 1 }) {
  const next = random(seed), { samples } = task, squares = x => x.reduce((sum, v) => sum + v * v, 0), norm2 = squares(task.Y);
  let A = Float64Array.from({ length: r * m }, () => (2 * next() - 1) * Math.sqrt(3 / m)), B = new Float64Array(n * r);
  const told = { training: [], heldOut: [], B: [], A: [] };
  const error = (on, X) => {
    const inner = product(X, transposed(A, r, m), on.samples, m, r), out = product(inner, transposed(B, n, r), on.samples, r, n, s);
    for (let k = 0; k < out.length; k++) out[k] -= on.Y[k];
    return [out, inner];
  };
  for (let step = 0; ; step++) {
    told.training.push(squares(error(task, task.X)[0]) / norm2);
    told.heldOut.push(held === task ? told.training[step] : squares(error(held, held.X)[0]) / squares(held.Y));
    told.B.push(B);
    told.A.push(A);
    if (step === steps) return told;
    const X = dropout ? task.X.map(v => (next() >= dropout ? v / (1 - dropout) : 0)) : task.X;
    const [out, inner] = error(task, X), factor = (rate * 2 * s) / norm2;
    const errors = transposed(out, samples, n), up = product(errors, inner, n, samples, r, factor);
    const down = product(product(transposed(B, n, r), errors, r, n, samples), X, r, samples, m, factor);
    B = B.map((v, k) => v - up[k]);
    A = A.map((v, k) => v - down[k]);
  }
}
