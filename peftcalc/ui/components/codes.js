// Sixty-four weights and the values that their codes can stand for. (QLoRA paper, section 2, eq. 1 and 2.)
import { fields, FORMATS, fromBits, grid, normalised, packed, pattern, quantizationError, quantize, TOP } from "./core.js";
import { button, checked, choice, draggable, dress, figure, h, num, number, numbers, oneOf, place, pointed, press, roving, s, sheet, sized, slider, still, text, whole } from "./shell.js";

const NAMES = { int8: "int8", int4: "int4", nf4: "NF4", fp4: "FP4", mxfp4: "MXFP4" };
const STAGES = ["Weights", "Block maximum", "Normalised", "Nearest code", "Packed bytes", "Dequantized", "Error"];
const SIZES = [64, 32, 16];
const CHOSEN = { format: [oneOf, Object.keys(NAMES)], size: [oneOf, SIZES], stage: [whole, 0, STAGES.length - 1] };
/** The crowd's share of the height. */
const INNER = 0.74;
const STEP = 0.05;
/** Pixels within which a finger takes a weight. */
const NEAR = 34;
const GLIDE = 250;

export class Codes {
  static check(data) {
    const limit = number("limit", data.limit, 1e-6, 1e6), crowd = number("crowd", data.crowd, 1e-6, limit);
    return { limit, crowd, first: numbers("weights", data.weights, 64, 64, -limit, limit), ...checked(data, CHOSEN), rail: data.rail ? new Rail() : null };
  }

  constructor(frame) {
    this.frame = frame;
    const put = name => value => { this[name] = value; frame.draw(); frame.release(); };
    this.formats = choice("Format", Object.entries(NAMES), put("format"));
    this.sizes = choice("Weights that share a scale", SIZES.map(size => [size, size === 64 ? "64 share a scale" : String(size)]), put("size"));
    this.puller = button("", () => this.pull());
    this.figures = [figure("RMSE"), figure("at most"), figure("bits each")];
    frame.bar.classList.add("x-tight");
    frame.bar.append(this.formats.box, this.sizes.box, this.puller, ...this.figures.map(one => one.box));
  }

  receive(data) {
    Object.assign(this, data);
    this.x = data.first.slice();
    this.chosen = 20;
    this.rail?.belong(this);
    this.controls();
  }

  controls() {
    this.formats.value = this.format;
    this.sizes.value = this.size;
  }

  get state() {
    const moved = this.x.flatMap((value, i) => (value === this.first[i] ? [] : [i, value]));
    return { format: this.format, size: this.size, stage: this.stage, moved };
  }
  set state(state) {
    const moved = numbers("moved", state.moved, 0, 128), x = this.first.slice();
    if (moved.length % 2) throw new RangeError(`moved must come in pairs, got ${moved.length} numbers`);
    for (let k = 0; k < moved.length; k += 2) x[whole("moved", moved[k], 0, 63)] = number("moved", moved[k + 1], -this.limit, this.limit);
    Object.assign(this, checked(state, CHOSEN), { x });
    if (moved.length) this.chosen = this.outermost();
    this.controls();
  }

  put(i, value) {
    this.x[i] = Number(Math.max(-this.limit, Math.min(this.limit, value)).toFixed(3));
    this.frame.draw();
  }
  choose(i) {
    this.chosen = i;
    this.sticks.forEach(({ g }, k) => g.setAttribute("tabindex", k === i ? 0 : -1));
    this.frame.draw();
  }
  outermost() { return this.x.reduce((best, v, i) => (Math.abs(v) > Math.abs(this.x[best]) ? i : best), 0); }
  get out() { return Math.abs(this.x[this.outermost()]) > this.crowd; }

  pull() {
    const back = this.out, from = this.x.slice();
    const to = from.map((v, i) => (back ? (Math.abs(v) > this.crowd ? this.first[i] : v) : i === this.chosen ? Math.sign(v || 1) * this.limit : v));
    const began = performance.now(), step = now => {
      const share = still() ? 1 : Math.min(1, (now - began) / GLIDE), eased = share * (2 - share);
      to.forEach((v, i) => { if (v !== from[i]) this.put(i, from[i] + (v - from[i]) * eased); });
      if (share < 1) requestAnimationFrame(step);
      else this.frame.release();
    };
    requestAnimationFrame(step);
  }

  key(event, i) {
    const up = { ArrowUp: STEP, ArrowDown: -STEP, PageUp: 1, PageDown: -1 }[event.key];
    if (event.altKey || !(up || event.key === "Home")) return;
    this.put(i, up ? this.x[i] + (up * this.crowd * (event.shiftKey ? 10 : 1)) : this.first[i]);
    event.preventDefault();
    this.frame.releaseSoon();
  }

  up(v) {
    const size = Math.min(Math.abs(v), this.limit), inner = INNER * this.half;
    const away = size <= this.crowd ? (size / this.crowd) * inner : inner + ((size - this.crowd) / (this.limit - this.crowd)) * (this.half - inner);
    return this.middle - Math.sign(v) * away;
  }
  value(y) {
    const away = Math.abs(this.middle - y), inner = INNER * this.half, sign = y < this.middle ? 1 : -1;
    return sign * (away <= inner ? (away / inner) * this.crowd : this.crowd + ((away - inner) / (this.half - inner)) * (this.limit - this.crowd));
  }
  at(i) { return this.left + (i + 0.5) * this.pitch; }

  layout(width) {
    const { projector, small } = this.frame, wide = width >= 640, counts = wide ? Math.min(170, 0.16 * width) : 0;
    const height = wide ? (this.rail ? (projector ? 140 : 196) : 320) : 250, head = small + 10;
    Object.assign(this, { wide, middle: head + height / 2, half: height / 2 - 8, left: small * 3.2, counts });
    this.right = width - counts - (wide ? 18 : 4);
    this.pitch = (this.right - this.left) / 64;
    const total = head + height + 4;
    this.drawing = sheet("64 weights as rings, the levels that their codes can stand for as lines, and the way from each ring to its level", width, total);
    this.drawing.append(s("text", { class: "small left quiet", x: this.left, y: small / 2 + 1 }, wide ? "Each ring is a weight: drag it. Each line is a level that a code can stand for." : "Ring: a weight, drag it. Line: a level."));
    this.axis(head, height);
    this.bands = [0, 1, 2, 3].map(() => s("rect", { y: head, height, rx: 6 }));
    this.levels = s("path", { class: "x-levels" });
    this.tops = s("path", { class: "x-tops" });
    this.errors = s("path", { class: "x-errors" });
    this.landed = s("path", { class: "x-landed" });
    const surface = s("rect", { class: "x-surface", x: this.left, y: 0, width: this.right - this.left, height: total });
    this.drawing.append(...this.bands, this.levels, this.tops, this.errors, this.landed, surface);
    this.grabbed(surface);
    this.sticks = this.x.map((_, i) => this.stick(i));
    this.strip(width, small);
    this.drawn = {};
    this.frame.stage.replaceChildren(this.drawing, ...(this.rail ? [this.rail.layout(width)] : []));
  }

  axis(head, height) {
    for (const sign of [1, -1]) {
      const y = sign > 0 ? head : this.up(-this.crowd), high = ((1 - INNER) * this.half) + 8;
      this.drawing.append(s("rect", { class: "x-far", x: this.left, y, width: this.right - this.left, height: high }));
    }
    const round = 10 ** Math.floor(Math.log10(this.crowd)), near = round * [5, 2, 1].find(k => k * round <= this.crowd);
    const ticks = [this.limit, near, near / 2, 0].flatMap(v => (v ? [v, -v] : [v]));
    for (const v of ticks) this.drawing.append(s("text", { class: "small right quiet", x: this.left - 7, y: this.up(v) }, num(v)));
  }

  stick(i) {
    const ring = s("circle", { class: "ring", cx: this.at(i), r: Math.max(2.2, Math.min(6, this.pitch * 0.36)) });
    const g = s("g", { class: "x-weight", tabindex: i === this.chosen ? 0 : -1, role: "slider", "aria-label": `Weight ${i + 1} of 64`, "data-spot": `w${i}`,
      "aria-valuemin": -this.limit, "aria-valuemax": this.limit, "aria-orientation": "vertical" }, ring);
    g.addEventListener("focus", () => this.choose(i));
    g.addEventListener("keydown", event => this.key(event, i));
    roving(g, 0, i, (row, column) => (row ? undefined : this.sticks[column]?.g));
    this.drawing.append(g);
    return { g, ring };
  }

  grabbed(surface) {
    const spot = event => place(event, this.drawing), nearest = x => Math.max(0, Math.min(63, Math.floor((x - this.left) / this.pitch)));
    const reached = ({ x, y }) => {
      const near = [...Array(64).keys()].map(i => [Math.hypot(this.at(i) - x, this.up(this.x[i]) - y), i]);
      return near.reduce((best, one) => (one[0] < best[0] ? one : best));
    };
    draggable(surface, {
      start: event => {
        const here = spot(event), [far, i] = reached(here), taken = event.pointerType === "mouse" ? nearest(here.x) : i;
        if (event.pointerType !== "mouse" && far > NEAR) return false;
        this.held = { i: taken, off: event.pointerType === "mouse" && Math.abs(this.up(this.x[taken]) - here.y) > 14 ? 0 : this.up(this.x[taken]) - here.y };
        this.sticks[taken].g.focus({ preventScroll: true });
        if (this.held.off === 0) this.put(taken, this.value(here.y));
      },
      move: event => this.put(this.held.i, this.value(spot(event).y + this.held.off)),
      end: () => this.frame.release(),
    });
  }

  strip(width, small) {
    this.bars = s("path", { class: "x-counts" });
    this.most = s("text", { class: "small left" });
    this.told = s("text", { class: "small left quiet", x: this.right + 18, y: small / 2 + 1 });
    if (this.counts) this.drawing.append(this.bars, this.most, this.told);
  }

  compute() {
    this.now = quantize(this.x, this.format, this.size);
    this.error = quantizationError(this.x, this.now.back);
    this.block = Math.floor(this.chosen / this.size);
    this.scale = this.now.scales[this.block];
  }
  get grid() { return this.grids?.format === this.format ? this.grids.values : (this.grids = { format: this.format, values: grid(this.format) }).values; }

  paint() {
    this.compute();
    const { now, size } = this, groups = 64 / size, color = `var(--x-${this.format})`;
    this.drawing.style.setProperty("--format", color);
    if (this.rail) this.drawing.setAttribute("class", `x-stage-${this.stage}`);
    this.bands.forEach((band, b) => {
      const shown = b < groups && groups > 1;
      band.setAttribute("class", `x-band${b === this.block ? " here" : ""}${shown ? "" : " off"}`);
      if (b < groups) { band.setAttribute("x", this.left + b * size * this.pitch + 1); band.setAttribute("width", size * this.pitch - 2); }
    });
    this.paintLevels();
    let sticks = "", landed = "";
    const wide = Math.max(1.5, this.pitch * 0.3);
    this.sticks.forEach(({ g, ring }, i) => {
      const x = this.at(i), y = this.up(this.x[i]), end = this.up(now.back[i]), text = num(this.x[i], 3);
      ring.setAttribute("cy", y);
      g.classList.toggle("chosen", i === this.chosen);
      g.setAttribute("aria-valuenow", this.x[i]);
      g.setAttribute("aria-valuetext", `${text}, stored as ${num(now.back[i], 3)}`);
      sticks += `M${x.toFixed(1)},${y.toFixed(1)}V${end.toFixed(1)}`;
      landed += `M${(x - wide).toFixed(1)},${end.toFixed(1)}h${(2 * wide).toFixed(1)}`;
    });
    this.errors.setAttribute("d", sticks);
    this.landed.setAttribute("d", landed);
    if (this.counts) this.paintCounts();
    this.figures[0].set(this.error.rmse.toFixed(4));
    this.figures[1].set(this.error.maxAbs.toFixed(3));
    this.figures[2].set(num((this.format === "int8" ? 8 : 4) + (this.format === "mxfp4" ? 8 : 32) / size, 3));
    this.puller.textContent = this.out ? "Put it back" : "Pull one out";
    this.rail?.paint();
  }

  paintLevels() {
    const { scales } = this.now, mark = `${this.format},${scales}`;
    if (this.drawn.mark === mark) return;
    this.drawn.mark = mark;
    let lines = "", tops = "";
    scales.forEach((scale, b) => {
      const from = (this.left + b * this.size * this.pitch + 3).toFixed(1), to = (this.left + (b + 1) * this.size * this.pitch - 3).toFixed(1);
      for (const v of this.grid) if (Math.abs(v * scale) <= this.limit * 1.001) lines += `M${from},${this.up(v * scale).toFixed(1)}H${to}`;
      const absmax = this.x.slice(b * this.size, (b + 1) * this.size).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      for (const v of [absmax, -absmax]) tops += `M${from},${this.up(v).toFixed(1)}H${to}`;
    });
    this.levels.setAttribute("d", lines);
    this.levels.classList.toggle("many", this.grid.length > 16);
    this.tops.setAttribute("d", tops);
  }

  paintCounts() {
    const from = this.block * this.size, found = new Map();
    for (let i = from; i < from + this.size; i++) found.set(this.now.back[i], (found.get(this.now.back[i]) ?? 0) + 1);
    const x = this.right + 18, room = this.counts - 40;
    let bars = "", most = [0, 0];
    for (const [value, times] of found) {
      bars += `M${x},${this.up(value).toFixed(1)}h${((room * times) / this.size).toFixed(1)}`;
      if (times > most[1]) most = [value, times];
    }
    this.bars.setAttribute("d", bars);
    dress(this.most, { x: x + (room * most[1]) / this.size + 6, y: this.up(most[0]) });
    this.most.textContent = `${most[1]} at ${num(most[0], 2)}`;
    this.told.textContent = `${found.size} of ${this.grid.length} levels used`;
  }

  get sentence() {
    const { size } = this, i = this.outermost(), b = Math.floor(i / size), from = b * size, scale = this.now.scales[b];
    const others = [...Array(size).keys()].map(k => k + from).filter(k => k !== i), zero = others.filter(k => this.now.back[k] === 0 && this.x[k] !== 0).length;
    const step = Math.min(...this.grid.filter(v => v > 0)) * scale, whose = size === 64 ? "all 64" : `its block of ${size}`;
    const shared = () => quantizationError(this.x, quantize(this.x, this.format, 64).back).rmse;
    const rest = size === 64 ? "" : ` The other ${64 - size} keep scales of their own: RMSE ${num(this.error.rmse, 3)}, with one scale ${num(shared(), 3)}.`;
    return `Weight ${i + 1} (${num(this.x[i])}) sets the scale of ${whose}: first level ${num(step, 3)}, and ${zero} of the other ${others.length} become zero.${rest}`;
  }
}

const bits = (value, width) => (value & (2 ** width - 1)).toString(2).padStart(width, "0");

class Rail {
  belong(view) { this.view = view; }

  go(stage) {
    this.view.stage = Math.max(0, Math.min(STAGES.length - 1, stage));
    this.view.frame.draw();
    this.view.frame.release();
  }

  layout(width) {
    this.many = width >= 640 ? 8 : 4;
    this.told = h("p", { class: "x-told" });
    this.back = button("Back", () => this.go(this.view.stage - 1), "One step back");
    this.next = button("Next", () => this.go(this.view.stage + 1), "One step on");
    this.rows = STAGES.map((name, k) => {
      const cells = Array.from({ length: this.many }, () => h("td", {}));
      const head = h("button", { type: "button", "data-spot": `stage${k}` }, `${k + 1} ${name}`);
      head.addEventListener("click", () => this.go(k));
      const row = h("tr", {}, h("th", { scope: "row" }, head), cells);
      return { row, head, cells };
    });
    this.spanned(1, this.many);
    const table = h("table", { class: "x-rail", "aria-label": "The steps of quantizing, for the weights around the chosen one" }, h("tbody", {}, this.rows.map(({ row }) => row)));
    return h("div", { class: "x-steps" }, h("div", { class: "x-walk" }, this.back, this.next, this.told), table);
  }

  spanned(k, weights) {
    const { row, cells } = this.rows[k];
    if (cells[0].colSpan === weights) return;
    cells.forEach((cell, i) => {
      cell.remove();
      cell.colSpan = weights;
      if (i % weights === 0) row.append(cell);
    });
  }

  paint() {
    const { view } = this, { x, now, chosen, format, scale, stage } = view, from = Math.floor(chosen / this.many) * this.many, one = format === "int8";
    const around = Array.from({ length: this.many }, (_, k) => from + k), bytes = packed(now.codes, format);
    this.spanned(4, one ? 1 : 2);
    const texts = [
      around.map(i => num(x[i], 3)),
      [`${num(scale, 4)}${format === "mxfp4" ? ", a power of two" : ""}, stored once for ${view.size} weights`],
      around.map(i => num(normalised(x[i], scale, format), format in TOP ? 2 : 3)),
      around.map(i => String(now.codes[i]).replace("-", "\u2212")),
      around.map(i => (one ? bits(bytes[i], 8) : `${bits(bytes[i >> 1] >> 4, 4)} ${bits(bytes[i >> 1], 4)}`)),
      around.map(i => num(now.back[i], 3)),
      around.map(i => `${now.back[i] > Math.fround(x[i]) ? "+" : ""}${num(now.back[i] - Math.fround(x[i]), 3)}`),
    ];
    this.rows.forEach(({ row, head, cells }, k) => {
      row.classList.toggle("lit", k === stage);
      k === stage ? head.setAttribute("aria-current", "step") : head.removeAttribute("aria-current");
      cells.forEach((cell, i) => {
        const text = texts[k][i] ?? "";
        if (cell.textContent !== text) cell.textContent = text;
        cell.classList.toggle("chosen", cell.colSpan <= 2 && Math.floor((chosen - from) / cell.colSpan) * cell.colSpan === i);
      });
    });
    this.back.disabled = stage === 0;
    this.next.disabled = stage === STAGES.length - 1;
    const told = this.explained(view);
    if (this.told.textContent !== told) this.told.textContent = told;
  }

  explained({ x, now, chosen, format, scale, stage, size }) {
    const i = chosen, top = TOP[format], v = num(x[i], 3), shared = num(scale, 4), part = num(normalised(x[i], scale, format), 4), code = now.codes[i];
    return [
      `Weight ${i + 1} is ${v}. The ${size} weights ${size === 64 ? "all" : "of its block"} share one scale.`,
      format === "mxfp4" ? `The scale is a power of two, ${shared}, chosen by the largest magnitude; it takes 8 bits.` : `The scale is the largest magnitude, ${shared}; it is stored beside the codes, in 32 bits.`,
      top ? `Weight ${i + 1}, divided by the scale, times ${top}: ${v} · ${top} / ${shared} = ${part}.` : `Weight ${i + 1} is divided by the scale: ${v} / ${shared} = ${part}.`,
      top ? `Rounded to a whole number from ${num(-top)} to ${top}: ${part} becomes ${num(code)}.` : `The nearest of the values of ${NAMES[format]} to ${part} is ${num(now.back[i] / scale, 4)}, which is code ${code} of 16.`,
      format === "int8" ? "One code fills a byte. These bytes and the scale are all that is kept." : `Two codes share a byte, the first in the ${format === "mxfp4" ? "low" : "high"} half. These bytes and the scale are all that is kept.`,
      top ? `The way back: ${num(code)} · ${shared} / ${top} = ${num(now.back[i], 4)}.` : `The way back: ${num(now.back[i] / scale, 4)} · ${shared} = ${num(now.back[i], 4)}.`,
      `What is lost of weight ${i + 1}: ${num(now.back[i], 4)} − (${v}) = ${num(now.back[i] - x[i], 4)}.`,
    ][stage];
  }
}

const WRITTEN = { float32: "float32", bfloat16: "bfloat16", float16: "float16", float8_e4m3fn: "fp8 E4M3", float8_e5m2: "fp8 E5M2", int8: "int8", int4: "int4" };
const ABSMAXES = [0.5, 1, 2, 3, 5, 10, 100];
const WORDS = { inf: Infinity, "+inf": Infinity, infinity: Infinity, "-inf": -Infinity, nan: NaN };
const PARTS = ["sign", "exponent", "fraction"];
/** Columns beside the border, to its right on a narrow screen. */
const LEFT = 9;
const FOLD = 10;

function read(name, written) {
  const plain = text(name, written, 40).replace(/[\s_,]/g, "").replace("\u2212", "-").toLowerCase();
  const value = WORDS[plain] ?? (plain === "" ? undefined : Number(plain));
  if (value === undefined || (Number.isNaN(value) && plain !== "nan")) throw new RangeError(`a number such as 0.1, -3e-5, inf or nan is needed, got ${JSON.stringify(written)}`);
  return value;
}
const written = value => (Object.is(value, -0) ? "-0" : Number.isNaN(value) ? "nan" : String(value).replace("Infinity", "inf"));
const shown = value => (Number.isFinite(value) ? written(Number(value.toPrecision(9))) : written(value)).replace(/^-|e-/g, sign => sign.replace("-", "\u2212"));
const small = value => (Math.abs(value) < 1e-3 ? value.toExponential(2) : written(Number(value.toPrecision(3)))).replaceAll("-", "\u2212");
const RAISED = Object.fromEntries([..."0123456789"].map((digit, i) => [digit, "⁰¹²³⁴⁵⁶⁷⁸⁹"[i]]));
const raised = value => String(value).replace("-", "⁻").replace(/\d/g, digit => RAISED[digit]);

const WRITABLE = { x: [read], absmax: [number, 1e-6, 1e6] };

export class Bits {
  static check(data) {
    if (!Array.isArray(data.formats) || data.formats.length < 1 || data.formats.length > 7) throw new RangeError("formats must be a list of 1 to 7 names");
    return { ...checked(data, WRITABLE), formats: data.formats.map(one => oneOf("format", one, Object.keys(FORMATS))) };
  }

  constructor(frame) {
    this.frame = frame;
    this.field = h("input", { class: "x-field", type: "text", maxlength: 40, autocomplete: "off", spellcheck: "false", "aria-label": "A number, also inf or nan" });
    this.field.addEventListener("change", () => this.typed());
    this.top = slider("Largest weight, for int8 and int4", ABSMAXES, { show: v => num(v), input: v => { this.absmax = v; frame.draw(); }, release: () => frame.release() });
    frame.bar.append(h("label", { class: "x-slider" }, h("span", {}, "A number"), this.field), this.top.box);
  }

  receive(data) {
    Object.assign(this, data);
    this.at = null;
    this.controls();
  }
  controls() {
    this.field.value = written(this.x);
    this.top.value = this.absmax;
  }

  get state() { return { x: written(this.x), absmax: this.absmax }; }
  set state(state) {
    Object.assign(this, checked(state, WRITABLE));
    this.controls();
  }
  typed() {
    try {
      this.x = read("the number", this.field.value);
      this.frame.fault.textContent = "";
      this.controls();
      this.frame.release();
    } catch (error) {
      this.frame.fault.textContent = error.message;
    }
  }
  step(format) { return FORMATS[format].exponent ? 1 : this.absmax / (2 ** FORMATS[format].fraction - 1); }
  holds(format) { return FORMATS[format].exponent > 0 || Number.isFinite(this.x); }
  flip(format, at) {
    if (!this.holds(format)) return;
    const { bits } = FORMATS[format], before = pattern(this.x, format, this.step(format)), weight = 2 ** (bits - 1 - at);
    this.x = this.turned(format, before, weight);
    this.controls();
    this.frame.draw();
    this.frame.release();
  }
  turned(format, bits, weight) { return fromBits(Math.floor(bits / weight) % 2 ? bits - weight : bits + weight, format, this.step(format)); }

  layout(width) {
    const { small, projector } = this.frame, wide = width >= 720, name = projector ? 110 : 88, told = projector ? 190 : 160;
    const columns = wide ? 32 : LEFT + FOLD, room = wide ? width - name - told : width;
    const side = Math.max(10, Math.min(27, Math.floor((room - 14) / columns))), high = wide ? 30 : 26, border = (wide ? name : 0) + LEFT * side + 8;
    this.rows = [];
    this.drawing = sheet("The bits of the number in each format");
    const text = (kind, content, x, y) => { const made = s("text", { class: kind, x, y }, content); this.drawing.append(made); return made; };
    text("small", "sign", border - 10 - LEFT * side, small / 2 + 1);
    text("small right", "exponent: reach", border - 10, small / 2 + 1);
    text("small left", "fraction: precision", border + 2, small / 2 + 1);
    if (wide) text("small left", "what it keeps", border + 23 * side + 14, small / 2 + 1);
    let y = small + 14, line = "";
    for (const format of this.formats) {
      const { exponent, fraction, bits } = FORMATS[format], folded = !wide && fraction > FOLD;
      const label = wide ? y + high / 2 : y + 8, top = wide ? y : y + 21;
      text("title left", WRITTEN[format], 0, wide ? label - 8 : label);
      text("small left quiet", `${bits} bits`, wide ? 0 : 84, wide ? label + 10 : label);
      const row = { format, cells: [], value: text(wide ? "left strong" : "right strong halo", "", wide ? border + 23 * side + 14 : width - 2, wide ? y + high / 2 - 8 : label) };
      row.error = text(wide ? "small left quiet" : "small right quiet", "", wide ? border + 23 * side + 14 : width - 2, wide ? y + high / 2 + 10 : label);
      for (let i = 0; i < bits; i++) {
        const part = i === 0 ? 0 : i <= exponent ? 1 : 2, place = i - 1 - exponent, second = folded && place >= FOLD;
        const x = part === 2 ? border + (second ? place - fraction + FOLD : place) * side : border - 5 - (exponent - i + 1) * side - (part === 0 ? 5 : 0);
        row.cells.push(this.bit(row, i, part, x, top + (second ? high + 3 : 0), side, high));
      }
      this.rows.push(row);
      y = top + (folded ? 2 : 1) * (high + 3);
      line += `M${border - 3},${wide ? top - 12 : top}V${y}`;
      y += wide ? 13 : 10;
    }
    this.drawing.prepend(s("path", { class: "x-border", d: line }));
    sized(this.drawing, width, y);
    this.wide = wide;
    this.frame.stage.replaceChildren(this.drawing);
  }

  bit(row, i, part, x, y, side, high) {
    const { format } = row, which = this.rows.length, rect = s("rect", { width: side - 2, height: high, rx: 4 }), digit = s("text", { x: (side - 2) / 2, y: high / 2 + 1 });
    const element = s("g", { class: `x-bit ${PARTS[part]}`, transform: `translate(${x},${y})`, tabindex: i ? -1 : 0, role: "switch", "data-spot": `${format}${i}` }, rect, digit);
    const { exponent } = FORMATS[format], name = part === 2 && !exponent ? `code bit ${i}` : part === 0 ? "sign bit" : `${PARTS[part]} bit ${part === 1 ? i : i - exponent}`;
    element.setAttribute("aria-label", `${WRITTEN[format]}, ${name}`);
    const here = { format, i };
    press(element, () => { element.focus({ preventScroll: true }); this.flip(format, i); });
    pointed(element, on => { this.at = on ? here : null; this.frame.draw(); });
    roving(element, which, i, (down, across) => this.rows[down]?.cells[Math.min(across, down === which ? across : this.rows[down].cells.length - 1)]?.element, true);
    this.drawing.append(element);
    return { element, digit };
  }

  paint() {
    for (const { format, cells, value, error } of this.rows) {
      const held = this.holds(format), step = this.step(format), bits = held ? pattern(this.x, format, step) : 0;
      const all = held ? Object.values(fields(bits, format)).join("") : "–".repeat(cells.length);
      cells.forEach(({ element, digit }, i) => {
        if (digit.textContent === all[i]) return;
        digit.textContent = all[i];
        element.setAttribute("aria-checked", String(all[i] === "1"));
        element.classList.toggle("on", all[i] === "1");
      });
      const kept = held ? fromBits(bits, format, step) : NaN, off = kept - this.x;
      const said = held ? shown(kept) : "no such code", lost = !held ? "only finite numbers" : Number.isNaN(off) || off === 0 ? "exact" : Number.isFinite(off) ? `off by ${small(off)}` : "out of range";
      value.textContent = said;
      error.textContent = lost;
      if (!this.wide) value.setAttribute("x", error.getAttribute("x") - 8 - (this.frame.projector ? 7.8 : 6.4) * lost.length);
    }
  }

  get sentence() {
    if (this.at && this.holds(this.at.format)) return this.worked(this.at);
    const chain = this.formats.filter(one => ["float32", "float16", "int8", "int4"].includes(one) && this.holds(one));
    const parts = chain.map(one => `${WRITTEN[one]} ${shown(fromBits(pattern(this.x, one, this.step(one)), one, this.step(one)))}`);
    return `${shown(this.x)} → ${parts.join(" → ")}. Click a bit to turn it over.`;
  }

  worked({ format, i }) {
    const { exponent, fraction, bias, bits, special } = FORMATS[format], step = this.step(format), whole = pattern(this.x, format, step), kept = fromBits(whole, format, step);
    const after = `; this bit turned over: ${shown(this.turned(format, whole, 2 ** (bits - 1 - i)))}.`;
    if (!exponent) return `${WRITTEN[format]}: code ${num(Math.round(kept / step))} · ${num(this.absmax)} / ${2 ** fraction - 1} = ${shown(kept)}${after}`;
    const size = whole % 2 ** (bits - 1), e = Math.floor(size / 2 ** fraction), part = size % 2 ** fraction, sign = whole >= 2 ** (bits - 1) ? "−" : "";
    if (size >= special) return `${WRITTEN[format]}: exponent bits all one stand for ${shown(kept)}${after}`;
    return `${WRITTEN[format]}: ${sign}2${raised(Math.max(e, 1) - bias)} · ${e ? `(1 + ${part}/${2 ** fraction})` : `${part}/${2 ** fraction} (subnormal)`} = ${shown(kept)}${after}`;
  }
}
