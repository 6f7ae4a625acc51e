// s · B · A = ΔW and W + ΔW = W′. (LoRA paper, section 4.1, eq. 3.)
import { norm, product, random, singularValues, spectrumOfProduct, tinyRun, tinyTask, trained } from "./core.js";
import { Cells, Crossing, Maps } from "./faces.js";
import { ADAPTERS, button, checked, count, figure, legend, matrix, num, number, numbers, oneOf, slider, still, text, top, whole } from "./shell.js";

const NUMBERS = 9;
const ALPHAS = [0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128];
const DROPOUTS = [0, 0.05, 0.1, 0.2, 0.3, 0.5];
const KNOBS = { alpha: [number, 0, 256], dropout: [number, 0, 0.9] };
const MOST_MOVED = 100;
const SHOWN_TERMS = 5;

export class Product {
  static check(data) {
    const W = matrix("W", data.W), B = matrix("B", data.B), A = matrix("A", data.A);
    if (B.n !== W.n || A.m !== W.m || B.m !== A.n) throw new RangeError("B must be W's rows × rank and A rank × W's columns");
    return {
      W, B, A, full: B.m,
      ...checked(data, { rank: [whole, 1, B.m], ...KNOBS, step: [number, 0.001, 1], most: [number, 1e-3, 1e3], method: [oneOf, ADAPTERS] }),
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
    this.topW = top(this.W);
    this.loud = Math.max(top(this.B), top(this.A)); // of the colours of B and A as maps: far smaller than W
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

  get ranks() { return Array.from({ length: this.full }, (_, i) => i + 1).filter(r => this.full <= 8 || Number.isInteger(Math.log2(r)) || r === this.full); }

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
    const { cells, ...moved } = checked(state, { rank: [whole, 1, this.full], ...KNOBS, cells: [numbers, 0, 4 * MOST_MOVED] });
    if (cells.length % 4) throw new RangeError(`cells must come in fours, got ${cells.length} numbers`);
    const B = this.first.B.slice(), A = this.first.A.slice();
    for (let at = 0; at < cells.length; at += 4) {
      const [which, i, j] = cells.slice(at, at + 3).map((v, k) => whole("cells", v, 0, [1, 63, 63][k])), value = number("cells", cells[at + 3], -this.most, this.most);
      if (which === 0 && i < this.n && j < this.full) B[i * this.full + j] = value;
      if (which === 1 && i < this.full && j < this.m) A[i * this.m + j] = value;
    }
    Object.assign(this, moved, { A, B });
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

  compute() {
    const { n, m, rank: r } = this, B = new Float64Array(n * r);
    for (let i = 0; i < n; i++) for (let k = 0; k < r; k++) B[i * r + k] = this.B[i * this.full + k];
    this.scale = this.alpha / r;
    this.used = { B, A: this.A.subarray(0, r * m) };
    this.D = product(B, this.used.A, n, r, m, this.scale);
    this.S = this.D.map((value, at) => this.W[at] + value);
    this.depth = Math.max(this.most, this.topW, top(this.D), top(this.S)); // of all colours
    const next = random(1 + this.draws);
    this.mask = Array.from({ length: m }, () => next() >= this.dropout);
  }
  spectrum() { return spectrumOfProduct(this.used.B, this.used.A, this.n, this.rank, this.m, this.scale); }

  /** What belongs to the lit number: from which row and column, how many of each. */
  lights(of) {
    if (!this.lit) return null;
    const { lit: { name, i, j }, n, m, rank: r } = this;
    if (name === of) return [i, j, 1, 1];
    if ("DWS".includes(name)) return of === "B" ? [i, 0, 1, r] : of === "A" ? [0, j, r, 1] : [i, j, 1, 1];
    if (of === "D") return name === "B" ? [i, 0, 1, m] : [0, j, n, 1];
    if (of === "A" && name === "B") return [j, 0, 1, m];
    return of === "B" && name === "A" ? [0, i, n, 1] : null;
  }
  isLit(of, i, j) {
    const [row, column, rows, columns] = this.lights(of) ?? [0, 0, 0, 0];
    return i >= row && j >= column && i < row + rows && j < column + columns;
  }
  light(lit) { this.lit = lit; this.frame.draw(); }

  layout(width) { this.compute(); this.again.style.display = this.dropout ? "" : "none"; this.face.layout(width); }
  paint() {
    this.compute();
    this.face.paint();
    const { n, m, rank: r } = this, total = trained(n, m, r), share = (100 * total) / (n * m);
    this.trained.set(count(total), `trained of ${count(n * m)} (${num(share, share < 10 ? 1 : 0)} %)`);
  }
  get drawing() { return this.face.drawing; }

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

const LOUDEST = 2; // targets that the deepest colour stands for
const SHOWS = { strips: [], rank: ["rank"], alpha: ["alpha"], dropout: ["dropout"] };

export class Strips extends Product {
  static check(data) {
    const { counter } = data, n = data.W.length;
    return {
      ...Product.check(data),
      kind: oneOf("kind", data.kind, Object.keys(SHOWS)),
      T: data.target && matrix("target", data.target, n).flat,
      counter: counter && { ...checked(counter, { name: [text], base: [whole, 1, 1e15] }), trained: counter.trained.map(v => whole("trained", v, 1, 1e15)) },
      run: data.run && Object.fromEntries(["rate", "steps", "seed", "samples", "noise", "enough", "calm"].map(name => [name, number(name, data.run[name], 0, 1e4)])),
    };
  }

  constructor(frame) {
    super(frame);
    this.real = figure("");
    this.many = 0;
  }

  get ranks() { return Array.from({ length: this.full }, (_, i) => i + 1); }

  receive(data) {
    this.fixed = data.kind === "dropout";
    super.receive(data);
    this.tried = new Map();
    this.runs = new Map();
    this.at = this.run?.steps ?? 0;
    if (this.T) {
      const squares = singularValues(this.T, this.n, this.m).map(v => v * v), all = squares.reduce((sum, v) => sum + v, 0);
      this.bound = squares.map((_, k) => Math.max(0, squares.slice(k).reduce((sum, v) => sum + v, 0) / all));
    }
    this.face = new Crossing(this);
  }

  controls() {
    super.controls();
    for (const [name, { box }] of Object.entries(this.sliders)) if (!SHOWS[this.kind].includes(name)) box.remove();
    this.again.remove();
    const more = this.counter ? [this.real.box] : this.fixed ? this.playing() : [];
    this.made.push(...more);
    this.trained.box.before(...more);
    if (this.kind === "alpha" || this.fixed) this.trained.box.remove();
  }

  playing() {
    this.play = button("▶ Run", () => this.start());
    this.more = button("Enough data", () => { this.many = 1 - this.many; this.frame.draw(); this.frame.release(); });
    return [this.play, this.more];
  }

  get state() {
    const state = super.state;
    if (!this.fixed) return state;
    return { ...state, cells: [], many: this.many };
  }
  set state(state) {
    super.state = state;
    this.many = whole("many", state.many ?? 0, 0, 1);
  }

  ran(scale, dropout) {
    const { n, m, rank, run: { rate, steps, seed, samples, noise, enough, calm }, many } = this, key = `${scale} ${dropout} ${many} ${rank}`;
    if (!this.runs.has(key)) {
      const [size, loud] = many ? [enough, calm] : [samples, noise];
      const task = tinyTask(this.T, n, m, size, loud, seed + 10), held = size ? tinyTask(this.T, n, m, 40, loud, seed + 100) : task;
      if (this.runs.size > 40) this.runs.clear();
      this.runs.set(key, tinyRun(task, held, n, m, { rank, scale, rate, steps, dropout, seed }));
    }
    return this.runs.get(key);
  }

  compute() {
    if (this.kind !== "alpha") this.alpha = this.rank;
    if (this.fixed) {
      this.now = this.ran(1, this.dropout);
      this.B = this.now.B[this.at];
      this.A = this.now.A[this.at];
      this.draws = this.at;
    }
    super.compute();
    if (this.kind === "alpha") this.now = this.ran(this.scale, 0);
    if (this.T) {
      this.E = this.T.map((v, k) => v - this.D[k]);
      this.left = (norm(this.E) / norm(this.T)) ** 2;
      this.depth = top(this.T) * (this.kind === "rank" ? 1 : LOUDEST);
    }
  }
  lights(of) { return "TE".includes(of) && this.lit && !"DWS".includes(this.lit.name) ? null : super.lights(of); }
  light(lit) { super.light(lit && "TE".includes(lit.name) ? { ...lit, name: "D" } : lit); }
  size(name) { return super.size(name) ?? [this.n, this.m]; }

  start() {
    const { steps } = this.run, began = performance.now();
    if (still()) return;
    const look = now => {
      this.at = Math.min(steps, Math.floor(((now - began) / 3000) * steps));
      this.frame.draw();
      if (this.at < steps && this.frame.root.isConnected) requestAnimationFrame(look);
      else { this.at = steps; this.frame.draw(); }
    };
    requestAnimationFrame(look);
  }

  paint() {
    super.paint();
    if (this.counter) this.real.set(count(this.counter.trained[this.rank - 1]), `trained of ${this.counter.name} at rank ${this.rank} (${num((100 * this.counter.trained[this.rank - 1]) / (this.counter.base + this.counter.trained[this.rank - 1]), 2)} %)`);
    this.more?.setAttribute("aria-pressed", String(Boolean(this.many)));
  }

  get sentence() {
    const percent = v => `${num(100 * v, 1)} %`, { kind, rank: r } = this;
    if (kind === "strips" || this.lit && !this.fixed) return super.sentence;
    if (kind === "rank") {
      const best = this.bound[r] ?? 0, said = `Rank ${r}: ${percent(this.left)} of the target is left over.`;
      if (!this.open) return said;
      return said + (this.left < best + 1e-4 ? ` No update of rank ${r} leaves less.` : ` The best of rank ${r} would leave ${percent(best)}.`);
    }
    const { steps } = this.run;
    if (kind === "alpha") {
      const volume = `α / r = ${num(this.alpha)} / ${r} = ${num(this.scale, 3)}.`;
      return this.gone < 0 ? `${volume} After ${steps} steps a run at this volume has a loss of ${num(this.now.training[steps], 3)}.` : `${volume} Too loud: at step ${this.gone} the loss has left the chart.`;
    }
    const out = this.mask.filter(kept => !kept).length, { training, heldOut } = this.now;
    return `Step ${this.at}, ${out} of ${this.m} inputs out. Loss on what it trains on ${num(training[this.at])}, held out ${num(heldOut[this.at])}.`;
  }
}
