// s · B · A = ΔW and W + ΔW = W′, with B and A to be moved. (LoRA paper, section 4.1, eq. 3.)
import { product, random, spectrumOfProduct, trained } from "./core.js";
import { button, count, draggable, figure, h, legend, matrix, num, number, numbers, oneOf, pixels, plate, roving, s, signed, slider, spinnable, whole } from "./kit.js";

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

  isLit(name, i, j) {
    const lit = this.lit;
    if (!lit) return false;
    if (lit.name === name && lit.i === i && lit.j === j) return true;
    if ("DWS".includes(lit.name)) return (name === "B" && i === lit.i) || (name === "A" && j === lit.j) || ("DWS".includes(name) && i === lit.i && j === lit.j);
    if (lit.name === "B") return (name === "D" && i === lit.i) || (name === "A" && i === lit.j);
    return (name === "D" && j === lit.j) || (name === "B" && j === lit.i);
  }
  light(lit) { this.lit = lit; this.frame.draw(); }

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

// ---- up to nine rows and columns: numbers ----
class Cells {
  constructor(view) { this.view = view; }

  layout(width) {
    const { view } = this, { n, m, rank: r } = view, { projector } = view.frame;
    const sign = projector ? 40 : 32, most = projector ? 46 : 32, pad = 14, strip = view.dropout ? 30 : 0, title = projector ? 34 : 28;
    const first = width - 2 * sign - 64 - 4 * pad, second = width - 2 * sign - 4 * pad;
    const wide = Math.floor(Math.min(most, first / (r + 2 * m), second / (3 * m)));
    this.cells = {};
    this.drawing = s("svg", { role: "group", "aria-label": `s times B times A is delta W, and W plus delta W is W prime; ${n} by ${m}, rank ${r}` });
    const text = (kind, content, x, y) => this.drawing.append(s("text", { class: kind, x, y }, content));
    let height;
    if (wide >= 26) {
      const c = wide, top = title + strip, middle = top + (n * c) / 2, room = 64 + 2 * sign + 4 * pad + (r + 2 * m) * c;
      const spectrum = width - room >= 150;
      let x = pad;
      this.scaleText = s("text", { class: "sign", x: x + 20, y: middle });
      this.drawing.append(this.scaleText);
      x += 64;
      this.matrix("B", "trained", `B, ${n} × ${r}`, x, top, c, true);
      text("sign", "·", x + r * c + sign / 2 + pad / 2, middle);
      x += r * c + sign + pad;
      this.inputs(x, middle - (r * c) / 2 - title - 25, c, strip);
      this.matrix("A", "trained", `A, ${r} × ${m}`, x, middle - (r * c) / 2, c, true);
      text("sign", "=", x + m * c + sign / 2 + pad / 2, middle);
      x += m * c + sign + pad;
      this.matrix("D", "sum", "ΔW", x, top, c);
      if (spectrum) this.bars = bars(this.drawing, x + m * c + 46, top, Math.min(220, width - x - m * c - 50), n * c, view);
      const below = top + n * c + 24 + title, center = below + (n * c) / 2;
      x = pad;
      this.matrix("W", "frozen", "W, frozen", x, below, c);
      text("sign", "+", x + m * c + sign / 2 + pad / 2, center);
      x += m * c + sign + pad;
      this.matrix("D2", "sum", "ΔW", x, below, c);
      text("sign", "=", x + m * c + sign / 2 + pad / 2, center);
      x += m * c + sign + pad;
      this.matrix("S", "result", "W′", x, below, c);
      height = below + n * c + 10;
    } else {
      const c = Math.floor(Math.min(44, (width - 52 - sign - 3 * pad) / (r + m))), small = Math.floor((width - 2 * sign - 2 * pad) / (3 * m));
      const top = title + strip, middle = top + (n * c) / 2;
      this.scaleText = s("text", { class: "sign", x: 22, y: middle });
      this.drawing.append(this.scaleText);
      let x = 56;
      this.matrix("B", "trained", `B, ${n} × ${r}`, x, top, c, true);
      text("sign", "·", x + r * c + sign / 2 + 4, middle);
      x += r * c + sign + 8;
      this.inputs(x, middle - (r * c) / 2 - title - 25, c, strip);
      this.matrix("A", "trained", `A, ${r} × ${m}`, x, middle - (r * c) / 2, c, true);
      let y = top + n * c + 20 + title;
      text("sign", "=", 22, y + (n * c) / 2);
      this.matrix("D", "sum", "ΔW", 56, y, Math.min(c, 36));
      y += n * Math.min(c, 36) + 22 + title;
      x = 6;
      for (const [name, kind, label, after] of [["W", "frozen", "W", "+"], ["D2", "sum", "ΔW", "="], ["S", "result", "W′", ""]]) {
        this.matrix(name, kind, label, x, y, small);
        text("sign", after, x + m * small + sign / 2, y + (n * small) / 2);
        x += m * small + sign;
      }
      this.bars = null;
      height = y + n * small + 10;
    }
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", height);
    view.frame.stage.replaceChildren(this.drawing);
  }

  matrix(name, kind, label, x, y, side, edit = false) {
    const { view } = this, [rows, columns] = view.size(name[0]), of = name[0], size = side > 30 ? "" : "small";
    this.drawing.append(
      kind === "result" ? s("rect", { class: "frozen", x: x - 5, y: y - 5, width: columns * side + 7, height: rows * side + 7, rx: 6 }) : plate(kind, x, y, columns * side - 3, rows * side - 3, view.method),
      s("text", { class: "title", x: x + (columns * side) / 2, y: y - 20 }, label));
    const cells = (this.cells[name] = []), at = (i, j) => (i < 0 || j < 0 || i >= rows || j >= columns ? undefined : cells[i * columns + j].element);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
      const rect = s("rect", { width: side - 3, height: side - 3, rx: 4 });
      const text = s("text", { class: size, x: (side - 3) / 2, y: (side - 3) / 2 + 1 });
      const element = s("g", { class: edit ? "x-cell edit" : "x-cell", transform: `translate(${x + j * side},${y + i * side})`,
        tabindex: i + j ? -1 : 0, role: edit ? "spinbutton" : "img", "data-spot": `${name}${i},${j}` }, rect, text);
      const cell = { element, rect, text, i, j, of, edit, name };
      const lit = { name: of, i, j };
      element.addEventListener("pointerenter", () => view.light(lit));
      element.addEventListener("pointerleave", () => view.light(this.focused ?? null));
      element.addEventListener("focus", () => { this.focused = lit; view.light(lit); if (!edit) view.frame.speak(view.sentence); });
      element.addEventListener("blur", () => { this.focused = null; view.light(null); });
      if (edit) this.editable(cell);
      roving(element, i, j, at, !edit);
      cells.push(cell);
      this.drawing.append(element);
    }
  }

  editable(cell) {
    const { view } = this, { of, i, j, element } = cell;
    spinnable(element, {
      low: -view.most, high: view.most, step: view.step, pixels: 12,
      get: () => view.value(of, i, j),
      set: value => view.set(of, i, j, value),
      release: () => view.frame.release(),
      soon: () => view.frame.releaseSoon(),
      typing: text => { cell.typed = text; element.classList.toggle("typed", Boolean(text)); view.frame.draw(); },
    });
  }

  inputs(x, y, side, strip) {
    this.entries = [];
    if (!strip) return;
    this.drawing.append(s("text", { class: "title right", x: x - 8, y: y + 8 }, "x"));
    for (let j = 0; j < this.view.m; j++) {
      const box = s("rect", { class: "x-glide", x: x + j * side + side / 2 - 9, y, width: 16, height: 16, rx: 8, style: `fill:var(--x-${this.view.method})` });
      this.entries.push(box);
      this.drawing.append(box);
    }
  }

  paint() {
    const { view } = this, sum = Math.max(view.topW, ...view.S.map(Math.abs)); // one depth for the three of a sum
    const tops = { B: view.most, A: view.most, D: Math.max(view.most, ...view.D.map(Math.abs)), D2: sum, W: sum, S: sum };
    this.scaleText.textContent = `${num(view.scale, 2)} ·`;
    for (const cells of Object.values(this.cells)) for (const cell of cells) this.show(cell, view.value(cell.of, cell.i, cell.j), tops[cell.name]);
    this.entries.forEach((box, j) => { box.style.opacity = view.mask[j] ? 1 : 0.12; });
    this.bars?.paint();
  }

  show(cell, value, top) {
    const { view } = this, { element, of, i, j } = cell, text = cell.typed || num(value, Math.abs(value) >= 10 ? 1 : 2);
    if (cell.shown !== text) {
      cell.text.textContent = cell.shown = text;
      const where = `${NAMES[of]}, row ${i + 1}, column ${j + 1}`;
      if (cell.edit) { element.setAttribute("aria-valuenow", value); element.setAttribute("aria-valuetext", text); }
      element.setAttribute("aria-label", cell.edit ? where : `${where}: ${text}`);
    }
    const paint = signed(value, top);
    if (cell.paint !== paint) cell.rect.style.fill = cell.paint = paint;
    const state = (view.isLit(of, i, j) ? 1 : 0) + ((of === "A" || cell.name === "D") && !view.mask[j] ? 2 : 0);
    if (cell.state !== state) {
      cell.state = state;
      element.classList.toggle("lit", state % 2 === 1);
      element.classList.toggle("out", state > 1);
    }
  }
}

// ---- more: heat maps ----
const NAMES = { B: "B", A: "A", D: "ΔW", W: "W", S: "W′", T: "target", E: "left over" };
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export const top = values => { let most = 1e-9; for (const v of values) most = Math.max(most, Math.abs(v)); return most; };

export class Maps {
  constructor(view) {
    this.view = view;
    this.at = {};
  }

  layout(width) {
    const { view } = this, { n, m, rank: r } = view, sign = 34, title = view.frame.projector ? 34 : 28, wide = width >= 620;
    this.drawing = s("svg", { role: "group", "aria-label": `s times B times A is delta W, and W plus delta W is W prime; ${n} by ${m}, rank ${r}, as heat maps` });
    this.maps = {};
    const beside = wide && width >= 900 ? 230 : 0;
    const c = Math.min(290 / Math.max(n, m), (width - beside - 2 * sign - 90) / (Math.max(r, 2) + (wide ? 2 : 1) * m));
    const small = Math.min(wide ? 0.62 * c : c, (width - 2 * sign - 12) / (3 * m));
    const text = (content, x, y) => this.drawing.append(s("text", { class: "sign", x, y }, content));
    const middle = title + (n * c) / 2;
    this.scaleText = s("text", { class: "sign", x: 30, y: middle });
    this.drawing.append(this.scaleText);
    let x = 68, y = title;
    x = this.map("B", "trained", x, title, r * c, n * c);
    text("·", x + sign / 2, middle);
    x = this.map("A", "trained", x + sign, middle - (r * c) / 2, m * c, r * c);
    if (!wide) { x = 34; y = title + n * c + 16 + title; text("=", 14, y + (n * c) / 2); } else { text("=", x + sign / 2, middle); x += sign; }
    x = this.map("D", "sum", x, y, m * c, n * c);
    this.bars = beside ? bars(this.drawing, x + 40, title, Math.min(beside - 40, width - x - 44), n * c, view) : null;
    y += n * c + 22 + title;
    x = 6;
    for (const [name, kind, after] of [["W", "frozen", "+"], ["D2", "sum", "="], ["S", "result", ""]]) {
      x = this.map(name, kind, x, y, m * small, n * small);
      text(after, x + sign / 2, y + (n * small) / 2);
      x += sign;
    }
    const height = y + n * small + 10;
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height })) this.drawing.setAttribute(name, value);
    this.mark = Object.fromEntries(Object.keys(this.maps).map(name => [name, s("rect", { style: "fill:none;stroke:var(--ink);stroke-width:2;pointer-events:none" })]));
    const above = s("svg", { class: "x-marks", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, Object.values(this.mark));
    view.frame.stage.replaceChildren(this.drawing, ...Object.values(this.maps).map(map => map.canvas), above);
  }

  map(name, kind, x, y, width, height) {
    const { view } = this, of = name[0], edit = (of === "A" || of === "B") && !view.fixed, [rows, columns] = view.size(of);
    if (kind === "result") this.drawing.append(s("rect", { class: "frozen", x: x - 4, y: y - 4, width: width + 8, height: height + 8, rx: 4 }));
    else this.drawing.append(plate(kind, x, y, width, height, view.method, 4));
    this.title(name === "W" ? "W, frozen" : NAMES[of], name, x, y, width, height);
    const canvas = h("canvas", { tabindex: 0, role: edit ? "spinbutton" : "img", "data-spot": name, "aria-valuemin": edit ? -view.most : null, "aria-valuemax": edit ? view.most : null });
    canvas.style.cssText = `left:${x}px;top:${y}px;width:${width}px;height:${height}px;${edit ? "touch-action:none;cursor:ns-resize" : ""}`;
    this.maps[name] = { canvas, of, rows, columns, x, y, width, height, edit, name };
    this.hands(this.maps[name]);
    return x + width;
  }

  title(text, name, x, y, width) { this.drawing.append(s("text", { class: "title", x: x + Math.max(width, 16) / 2, y: y - 17 }, text)); }

  hands(map) {
    const { view } = this, { canvas, of, rows, columns, edit } = map;
    const under = event => {
      const box = canvas.getBoundingClientRect(), inside = (v, most) => Math.max(0, Math.min(most - 1, Math.floor(v)));
      return { name: of, i: inside(((event.clientY - box.top) / box.height) * rows, rows), j: inside(((event.clientX - box.left) / box.width) * columns, columns) };
    };
    const step = (lit, value) => view.set(of, lit.i, lit.j, Math.max(-view.most, Math.min(view.most, Number(value.toFixed(3)))));
    let held = null;
    canvas.addEventListener("pointermove", event => { if (!held) view.light((this.at[of] = under(event))); });
    canvas.addEventListener("pointerdown", event => { if (!edit) view.light((this.at[of] = under(event))); });
    canvas.addEventListener("pointerleave", () => { if (!held && !this.focused) view.light(null); });
    canvas.addEventListener("focus", () => { this.focused = true; view.light((this.at[of] ??= { name: of, i: 0, j: 0 })); });
    canvas.addEventListener("blur", () => { this.focused = false; view.light(null); });
    if (edit) draggable(canvas, {
      start: event => { held = { ...under(event), y: event.clientY }; held.from = view.value(of, held.i, held.j); view.light((this.at[of] = { name: of, i: held.i, j: held.j })); },
      move: event => step(held, held.from + ((held.y - event.clientY) / 60) * view.most),
      end: () => { held = null; view.frame.release(); },
    });
    canvas.addEventListener("keydown", event => {
      const lit = this.at[of] ?? { name: of, i: 0, j: 0 }, move = ARROWS[event.key];
      const by = { "+": 1, "=": 1, "-": -1, PageUp: 5, PageDown: -5 }[event.key];
      if (move) this.at[of] = { name: of, i: Math.max(0, Math.min(rows - 1, lit.i + move[0])), j: Math.max(0, Math.min(columns - 1, lit.j + move[1])) };
      else if (by && edit) { step(lit, view.value(of, lit.i, lit.j) + (by * view.most) / 20); view.frame.releaseSoon(); } else return;
      event.preventDefault();
      view.light(this.at[of]);
      view.frame.speak(view.sentence);
    });
  }

  drawn() {
    const { view } = this, sum = Math.max(view.topW, top(view.S));
    return { B: [view.used.B, top(view.used.B)], A: [view.used.A, top(view.used.A)], D: [view.D, top(view.D)], D2: [view.D, sum], W: [view.W, sum], S: [view.S, sum] };
  }

  paint() {
    const { view } = this, { n, m, rank: r } = view, drawn = this.drawn();
    for (const [name, { canvas, rows, columns }] of Object.entries(this.maps)) pixels(canvas, drawn[name][0], rows, columns, drawn[name][1]);
    this.scaleText.textContent = `${num(view.scale, 2)} ·`;
    this.bars?.paint();
    this.marks(n, m, r);
    for (const { canvas, of, edit } of Object.values(this.maps)) {
      const at = this.at[of] ?? { i: 0, j: 0 }, value = num(view.value(of, at.i, at.j), 3);
      canvas.setAttribute("aria-label", `${NAMES[of]}, row ${at.i + 1}, column ${at.j + 1}${edit ? "" : `: ${value}`}`);
      if (edit) { canvas.setAttribute("aria-valuenow", view.value(of, at.i, at.j)); canvas.setAttribute("aria-valuetext", value); }
    }
  }

  marks(n, m, r) {
    const lit = this.view.lit;
    for (const [name, map] of Object.entries(this.maps)) {
      const box = lit && this.part(lit, map.of, n, m, r), mark = this.mark[name];
      mark.style.display = box ? "" : "none";
      if (!box) continue;
      const [i, j, rows, columns] = box, cy = map.height / map.rows, cx = map.width / map.columns;
      for (const [key, value] of Object.entries({ x: map.x + j * cx - 1, y: map.y + i * cy - 1, width: columns * cx + 2, height: rows * cy + 2 })) mark.setAttribute(key, value);
    }
  }
  part({ name, i, j }, of, n, m, r) {
    if (name === of) return [i, j, 1, 1];
    if ("DWS".includes(name)) return of === "B" ? [i, 0, 1, r] : of === "A" ? [0, j, r, 1] : [i, j, 1, 1];
    if (of === "D") return name === "B" ? [i, 0, 1, m] : [0, j, n, 1];
    if (of === "A" && name === "B") return [j, 0, 1, m];
    return of === "B" && name === "A" ? [0, i, n, 1] : null;
  }
}

const MOST = 12;

function bars(drawing, x, y, width, height, view) {
  const many = Math.min(MOST, view.n, view.m), step = width / many, floor = y + height - 16, room = height - 42;
  const columns = Array.from({ length: many }, (_, k) => s("rect", { x: x + k * step + 1, width: Math.max(2, step - 3), style: `fill:var(--x-${view.method})` }));
  const marks = columns.map((_, k) => s("text", { class: "small quiet", x: x + (k + 0.5) * step, y: floor + 11 }, many > 8 && k % 4 !== 3 && k ? "" : String(k + 1)));
  const most = s("text", { class: "small left", x, y: y + 2 });
  drawing.append(s("text", { class: "title left", x, y: y - 20 }, "Singular values of ΔW"), s("path", { class: "axis", d: `M${x},${floor}h${width}` }), ...columns, ...marks, most);
  return {
    paint() {
      const values = view.spectrum(), top = values[0] || 0;
      columns.forEach((column, k) => {
        const high = top > 0 ? Math.max(0, ((values[k] ?? 0) / top) * room) : 0;
        column.setAttribute("height", high);
        column.setAttribute("y", floor - high);
      });
      most.textContent = top > 0 ? `largest ${num(top, 2)}` : "all zero";
    },
  };
}
