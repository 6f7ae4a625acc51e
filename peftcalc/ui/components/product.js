// W frozen, B and A to be moved: s · B · A = ΔW, and apart from it W + ΔW = W′. (LoRA paper, section 4.1, eq. 3.)
//
// Up to nine rows and columns are numbers (`product_cells.js`), more are heat maps (`product_maps.js`).
import { matrix, number, numbers, oneOf, whole } from "./checks.js";
import { button, figure, slider } from "./controls.js";
import { product, random, spectrumOfProduct, trained } from "./core.js";
import { count, num } from "./elements.js";
import { legend } from "./look.js";
import { Cells } from "./product_cells.js";
import { Maps } from "./product_maps.js";

const NUMBERS = 9;
const ALPHAS = [0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128];
const DROPOUTS = [0, 0.05, 0.1, 0.2, 0.3, 0.5];
const MOST_MOVED = 100;
const SHOWN_TERMS = 5;

export default class Product {
  static check(data) {
    const W = matrix("W", data.W), B = matrix("B", data.B), A = matrix("A", data.A);
    if (B.n !== W.n || A.m !== W.m || B.m !== A.n) throw new RangeError("B must be W's rows × rank and A rank × W's columns");
    return {
      W, B, A, full: B.m,
      rank: whole("rank", data.rank, 1, B.m),
      alpha: number("alpha", data.alpha, 0, 256),
      dropout: number("dropout", data.dropout, 0, 0.9),
      step: number("step", data.step, 0.001, 1),
      most: number("most", data.most, 1e-3, 1e3),
      method: oneOf("method", data.method, ["lora", "dora", "qlora", "qdora"]),
    };
  }

  constructor(frame) {
    this.frame = frame;
    this.trained = figure("");
    frame.foot.append(legend());
  }

  receive(data) {
    Object.assign(this, data);
    this.n = data.W.n;
    this.m = data.W.m;
    this.first = { B: data.B.flat, A: data.A.flat };
    this.B = data.B.flat.slice();
    this.A = data.A.flat.slice();
    this.W = data.W.flat;
    this.topW = Math.max(1e-9, ...this.W.map(Math.abs));
    this.lit = null;
    this.draws = 0;
    this.controls();
    this.face = new (Math.max(this.n, this.m) <= NUMBERS ? Cells : Maps)(this);
  }

  controls() {
    const among = (options, value) => [...new Set([...options, value])].sort((a, b) => a - b);
    const put = name => value => { this[name] = value; name === "alpha" ? this.frame.draw() : this.frame.relay(); };
    const make = (label, options, name, show) => {
      const control = slider(label, options, { show, input: put(name), release: () => this.frame.release() });
      control.value = this[name];
      return control;
    };
    this.sliders = {
      rank: make("Rank", among(this.ranks, this.rank), "rank"),
      alpha: make("Alpha", among(ALPHAS, this.alpha), "alpha", v => num(v)),
      dropout: make("Dropout", among(DROPOUTS, this.dropout), "dropout", v => `${num(100 * v, 0)} %`),
    };
    this.again = button("Next step", () => { this.draws++; this.frame.draw(); }, "Next step: leave out other entries of the input");
    this.made?.forEach(element => element.remove());
    this.made = [...Object.values(this.sliders).map(control => control.box), this.again, this.trained.box];
    this.frame.bar.prepend(...this.made);
  }

  /** What the slider offers. */
  get ranks() { return Array.from({ length: this.full }, (_, i) => i + 1).filter(r => this.full <= 8 || Number.isInteger(Math.log2(r)) || r === this.full); }

  // ---- what the visitor moves ----

  get state() {
    const cells = [];
    for (const [which, name] of [[0, "B"], [1, "A"]]) {
      this[name].forEach((value, at) => {
        const columns = name === "B" ? this.full : this.m;
        if (value !== this.first[name][at] && cells.length < 4 * MOST_MOVED) cells.push(which, Math.floor(at / columns), at % columns, value);
      });
    }
    return { rank: this.rank, alpha: this.alpha, dropout: this.dropout, cells };
  }
  set state(state) {
    const rank = whole("rank", state.rank, 1, this.full), alpha = number("alpha", state.alpha, 0, 256);
    const dropout = number("dropout", state.dropout, 0, 0.9), cells = numbers("cells", state.cells, 0, 4 * MOST_MOVED);
    if (cells.length % 4) throw new RangeError(`cells must come in fours, got ${cells.length} numbers`);
    const B = this.first.B.slice(), A = this.first.A.slice();
    for (let at = 0; at < cells.length; at += 4) {
      const [which, i, j] = cells.slice(at, at + 3).map((v, k) => whole("cells", v, 0, [1, 63, 63][k])), value = number("cells", cells[at + 3], -this.most, this.most);
      if (which === 0 && i < this.n && j < this.full) B[i * this.full + j] = value;
      if (which === 1 && i < this.full && j < this.m) A[i * this.m + j] = value;
    }
    Object.assign(this, { rank, alpha, dropout, A, B });
    for (const [name, control] of Object.entries(this.sliders)) control.value = this[name];
  }

  place(name, i, j) { return name === "B" ? i * this.full + j : i * this.m + j; }
  value(name, i, j) { return this[name][this.place(name, i, j)]; }
  set(name, i, j, value) {
    const at = this.place(name, i, j);
    if (this[name][at] === value) return;
    this[name][at] = value;
    this.frame.draw();
  }
  size(name) { return { W: [this.n, this.m], D: [this.n, this.m], S: [this.n, this.m], B: [this.n, this.rank], A: [this.rank, this.m] }[name]; }

  // ---- arithmetic ----

  compute() {
    const { n, m, rank: r } = this, B = new Float64Array(n * r);
    for (let i = 0; i < n; i++) for (let k = 0; k < r; k++) B[i * r + k] = this.B[i * this.full + k];
    this.scale = this.alpha / r;
    this.used = { B, A: this.A.subarray(0, r * m) };
    this.D = product(B, this.used.A, n, r, m, this.scale);
    this.S = this.D.map((value, at) => this.W[at] + value);
    const next = random(1 + this.draws);
    this.mask = Array.from({ length: m }, () => next() >= this.dropout);
  }
  spectrum() { return spectrumOfProduct(this.used.B, this.used.A, this.n, this.rank, this.m, this.scale); }

  /** Whether a cell belongs to what is pointed at. */
  isLit(name, i, j) {
    const lit = this.lit;
    if (!lit) return false;
    if (lit.name === name && lit.i === i && lit.j === j) return true;
    if ("DWS".includes(lit.name)) return (name === "B" && i === lit.i) || (name === "A" && j === lit.j) || ("DWS".includes(name) && i === lit.i && j === lit.j);
    if (lit.name === "B") return (name === "D" && i === lit.i) || (name === "A" && i === lit.j);
    return (name === "D" && j === lit.j) || (name === "B" && j === lit.i);
  }
  light(lit) { this.lit = lit; this.frame.draw(); }

  // ---- the frame's questions ----

  layout(width) { this.compute(); this.again.style.display = this.dropout ? "" : "none"; this.face.layout(width); }
  paint() {
    this.compute();
    this.face.paint();
    const { n, m, rank: r } = this, total = trained(n, m, r), share = (100 * total) / (n * m);
    this.trained.set(count(total), `trained of ${count(n * m)} (${num(share, share < 10 ? 1 : 0)} %)`);
  }
  get picture() { return this.face.drawing; }

  get sentence() {
    if (this.lit) return this.worked();
    const total = trained(this.n, this.m, this.rank), frozen = this.n * this.m;
    const dropped = this.mask.filter(kept => !kept).length;
    if (this.dropout && dropped)
      return `In this step ${dropped} of ${this.m} inputs blink out, the others count ${num(1 / (1 - this.dropout))} times. Used afterwards, none is left out.`;
    if (this.alpha === 0) return "Alpha 0 silences the update: W′ is W.";
    if (total > frozen) return `B and A hold ${count(total)} trained numbers, more than the ${count(frozen)} of W itself.`;
    return `${count(total)} numbers of B and A make all ${count(frozen)} of ΔW. Drag one, or point at a cell of ΔW.`;
  }

  /** The dot product of what is pointed at, or what a factor's number moves. */
  worked() {
    const { name, i, j } = this.lit, r = this.rank;
    if (name === "B") return `B, row ${i + 1}, column ${j + 1}: ${num(this.value("B", i, j))}. It moves row ${i + 1} of ΔW.`;
    if (name === "A") return `A, row ${i + 1}, column ${j + 1}: ${num(this.value("A", i, j))}. It moves column ${j + 1} of ΔW.`;
    const terms = Array.from({ length: Math.min(r, SHOWN_TERMS) }, (_, k) => `(${num(this.value("B", i, k))})(${num(this.value("A", k, j))})`);
    const sum = terms.join(" + ") + (r > SHOWN_TERMS ? ` + ${r - SHOWN_TERMS} more` : ""), at = i * this.m + j;
    const left = this.scale === 1 ? sum : r > 1 ? `${num(this.scale, 3)} · [${sum}]` : `${num(this.scale, 3)} · ${sum}`;
    const whole = `${num(this.W[at])} + (${num(this.D[at], 3)}) = ${num(this.S[at], 3)}`;
    return `row ${i + 1} · column ${j + 1}: ${left} = ${num(this.D[at], 3)}` + (name === "D" ? "" : `; W′ there: ${whole}`);
  }
}
