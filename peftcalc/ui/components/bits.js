// One number in every format, the border between exponent and fraction in one line; a click turns a bit over. (IEEE 754.)
import { fields, FORMATS, fromBits, pattern } from "./core.js";
import { h, num, number, oneOf, roving, s, slider, text } from "./kit.js";

const NAMES = { float32: "float32", bfloat16: "bfloat16", float16: "float16", float8_e4m3fn: "fp8 E4M3", float8_e5m2: "fp8 E5M2", int8: "int8", int4: "int4" };
const ABSMAXES = [0.5, 1, 2, 3, 5, 10, 100];
const WORDS = { inf: Infinity, "+inf": Infinity, infinity: Infinity, "-inf": -Infinity, nan: NaN };
const PARTS = ["sign", "exponent", "fraction"];
/** Columns to the left of the border, and to its right on a narrow screen, where a fraction folds. */
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

export default class Bits {
  static check(data) {
    if (!Array.isArray(data.formats) || data.formats.length < 1 || data.formats.length > 7) throw new RangeError("formats must be a list of 1 to 7 names");
    return { x: read("x", data.x), absmax: number("absmax", data.absmax, 1e-6, 1e6), formats: data.formats.map(one => oneOf("format", one, Object.keys(FORMATS))) };
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
    const x = read("x", state.x), absmax = number("absmax", state.absmax, 1e-6, 1e6);
    Object.assign(this, { x, absmax });
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
    this.drawing = s("svg", { role: "group", "aria-label": "The bits of the number in each format; the border between exponent and fraction stands in one line" });
    const text = (kind, content, x, y) => { const made = s("text", { class: kind, x, y }, content); this.drawing.append(made); return made; };
    text("small right", wide ? "exponent: how far it reaches" : "exponent: reach", border - 10, small / 2 + 1);
    text("small left", wide ? "fraction: how fine it is" : "fraction: precision", border + 2, small / 2 + 1);
    let y = small + 14;
    for (const format of this.formats) {
      const { exponent, fraction, bits } = FORMATS[format], folded = !wide && fraction > FOLD;
      const label = wide ? y + high / 2 : y + 8, top = wide ? y : y + 21;
      text("title left", NAMES[format], 0, label);
      const row = { format, cells: [], value: text(wide ? "left strong" : "right strong halo", "", wide ? border + 23 * side + 14 : width - 2, wide ? y + high / 2 - 8 : label) };
      row.error = text(wide ? "small left quiet" : "small right quiet", "", wide ? border + 23 * side + 14 : width - 2, wide ? y + high / 2 + 10 : label);
      for (let i = 0; i < bits; i++) {
        const part = i === 0 ? 0 : i <= exponent ? 1 : 2, place = i - 1 - exponent, second = folded && place >= FOLD;
        const x = part === 2 ? border + (second ? place - fraction + FOLD : place) * side : border - 5 - (exponent - i + 1) * side - (part === 0 ? 5 : 0);
        row.cells.push(this.bit(row, i, part, x, top + (second ? high + 3 : 0), side, high));
      }
      this.rows.push(row);
      y = top + (folded ? 2 : 1) * (high + 3) + (wide ? 13 : 10);
    }
    this.drawing.prepend(s("path", { class: "x-border", d: `M${border - 3},${small + 4}V${y - 8}` }));
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${y}`);
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", y);
    this.wide = wide;
    this.frame.stage.replaceChildren(this.drawing);
  }

  bit(row, i, part, x, y, side, high) {
    const { format } = row, which = this.rows.length, rect = s("rect", { width: side - 2, height: high, rx: 4 }), digit = s("text", { x: (side - 2) / 2, y: high / 2 + 1 });
    const element = s("g", { class: `x-bit ${PARTS[part]}`, transform: `translate(${x},${y})`, tabindex: i ? -1 : 0, role: "switch", "data-spot": `${format}${i}` }, rect, digit);
    const { exponent } = FORMATS[format], name = part === 2 && !exponent ? `code bit ${i}` : part === 0 ? "sign bit" : `${PARTS[part]} bit ${part === 1 ? i : i - exponent}`;
    element.setAttribute("aria-label", `${NAMES[format]}, ${name}`);
    const here = { format, i };
    element.addEventListener("click", () => { element.focus({ preventScroll: true }); this.flip(format, i); });
    element.addEventListener("keydown", event => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      this.flip(format, i);
    });
    element.addEventListener("pointerenter", () => this.point(here));
    element.addEventListener("pointerleave", () => this.point(null));
    element.addEventListener("focus", () => this.point(here));
    element.addEventListener("blur", () => this.point(null));
    roving(element, which, i, (down, across) => this.rows[down]?.cells[Math.min(across, down === which ? across : this.rows[down].cells.length - 1)]?.element, true);
    this.drawing.append(element);
    return { element, digit };
  }
  point(at) { this.at = at; this.frame.draw(); }

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

  get picture() { return this.drawing; }

  get sentence() {
    if (this.at && this.holds(this.at.format)) return this.worked(this.at);
    const chain = this.formats.filter(one => ["float32", "float16", "int8", "int4"].includes(one) && this.holds(one));
    const parts = chain.map(one => `${NAMES[one]} ${shown(fromBits(pattern(this.x, one, this.step(one)), one, this.step(one)))}`);
    return `${shown(this.x)} → ${parts.join(" → ")}. Click a bit to turn it over.`;
  }

  worked({ format, i }) {
    const { exponent, fraction, bias, bits, special } = FORMATS[format], step = this.step(format), whole = pattern(this.x, format, step), kept = fromBits(whole, format, step);
    const after = `; this bit turned over: ${shown(this.turned(format, whole, 2 ** (bits - 1 - i)))}.`;
    if (!exponent) return `${NAMES[format]}: code ${num(Math.round(kept / step))} · ${num(this.absmax)} / ${2 ** fraction - 1} = ${shown(kept)}${after}`;
    const size = whole % 2 ** (bits - 1), e = Math.floor(size / 2 ** fraction), part = size % 2 ** fraction, sign = whole >= 2 ** (bits - 1) ? "−" : "";
    if (size >= special) return `${NAMES[format]}: exponent bits all one stand for ${shown(kept)}${after}`;
    return `${NAMES[format]}: ${sign}2${raised(Math.max(e, 1) - bias)} · ${e ? `(1 + ${part}/${2 ** fraction})` : `${part}/${2 ** fraction} (subnormal)`} = ${shown(kept)}${after}`;
  }
}
