// A run as it learns: loss curves, W, B, A and ΔW of one matrix with its spectrum and rows, samples before and now, and
// a rail that leads all of them back. Data comes as a whole, or as what is new of the same run (`more`).
//
// What arrives in a burst is played at a pace that can be followed, `SECONDS` for a whole run.
import { number, numbers, oneOf, text, whole } from "./checks.js";
import { button, choice } from "./controls.js";
import { h, num, s, still } from "./elements.js";
import { draggable, place } from "./hands.js";
import { legend } from "./look.js";
import { Curves } from "./weights_curves.js";
import { Panel } from "./weights_panel.js";
import { Samples, upTo } from "./weights_samples.js";

const METHODS = ["full", "lora", "dora", "qlora", "qdora"];
const SECONDS = 3;
const MOST = 100000;
const NEWEST = -1; // the step of somebody who follows

/** What travelled as [scale, base64], as numbers; `bits` 8 or 16. */
export function unpacked(name, value, count, bits = 8) {
  if (!Array.isArray(value) || value.length !== 2) throw new RangeError(`${name} must be a scale and codes`);
  const scale = number(`${name}'s scale`, value[0], 0), raw = atob(text(name, value[1], 20000)), size = bits / 8;
  if (raw.length !== count * size) throw new RangeError(`${name} must be ${count} numbers, got ${raw.length / size}`);
  return Float64Array.from({ length: count }, (_, i) => {
    const code = raw.charCodeAt(i * size) + (size > 1 ? 256 * raw.charCodeAt(2 * i + 1) : 0), half = 2 ** (bits - 1);
    return scale * (code >= half ? code - 2 * half : code);
  });
}

/** A look at a matrix, with at most 64 rows n and columns m; see `lab/runs/weight_looks.py`. */
function look([step, data]) {
  const [rows, columns] = numbers("shape", data.shape, 2, 2, 1, 1e6), n = Math.min(64, rows), m = Math.min(64, columns);
  const made = { step: whole("step", step, 0, MOST), matrix: text("matrix", data.matrix), rows, columns, n, m,
    spectrum: numbers("spectrum", data.spectrum, 0, 12, 0), moved: numbers("moved", data.moved, 2, 2),
    turns: unpacked("turns", data.rows[0], n, 16), lengths: unpacked("lengths", data.rows[1], n, 16) };
  if (data.D) return { ...made, D: unpacked("D", data.D, n * m) };
  const r = Math.round(atob(text("B", data.B[1], 20000)).length / n);
  return { ...made, r, scale: number("s", data.s), B: unpacked("B", data.B, n * r), A: unpacked("A", data.A, r * m), gain: data.g ? unpacked("g", data.g, n, 16) : null };
}

const told = data => ({
  name: oneOf("method", data.name, METHODS), label: text("label", data.label), dash: numbers("dash", data.dash, 0, 6, 0, 99).join(" "),
  from: whole("from", data.from, 0, MOST), loss: data.loss.map(v => (v === null ? NaN : number("loss", v, -1e30, 1e30))),
  held: data.held.map(([step, v]) => [whole("step", step, 0, MOST), v === null ? NaN : number("held", v, -1e30, 1e30)]),
  samples: data.samples.map(([step, items, said]) => ({ step: whole("step", step, 0, MOST), items: items.slice(0, 40).map(item => (typeof item === "number" ? item : text("sample", item, 600))), said: text("said", said) })),
  looks: data.looks.map(look), figures: text("figures", data.figures, 200),
});

/** What stays: W of a matrix, and the teacher's. */
function fixed(data) {
  const [rows, columns] = numbers("shape", data.shape, 2, 2, 1, 1e6), n = Math.min(64, rows), m = Math.min(64, columns);
  return { n, m, ...(data.W && { W: unpacked("W", data.W, n * m) }), ...(data.T && { T: unpacked("T", data.T, n * m) }) };
}

function checked(data) {
  return {
    run: text("run", data.run), whole: Boolean(data.whole), live: Boolean(data.live), unit: text("unit", data.unit), status: text("status", data.status, 300),
    log: Boolean(data.log), steps: whole("steps", data.steps, 1, MOST), methods: data.methods.slice(0, 5).map(told),
    matrices: data.matrices.slice(0, 400).map(name => text("matrix", name)),
    bases: ["float", "4bit"].flatMap(kind => Object.entries(data.bases[kind] ?? {}).map(([matrix, part]) => [`${kind} ${matrix}`, fixed(part)])),
    images: data.images ? { truths: numbers("truths", data.images[1], 1, 40), pixels: unpacked("pixels", data.images[0], 64 * data.images[1].length) } : null,
  };
}

export default class Weights {
  static check(data) { return checked(data); }

  constructor(frame) {
    this.frame = frame;
    this.curves = new Curves(this);
    this.panel = new Panel(this);
    this.samples = new Samples(this);
    this.rail = h("input", { type: "range", min: 0, step: 1, "aria-label": "Step of the run", "data-spot": "rail" });
    this.rail.addEventListener("input", () => this.go(Number(this.rail.value)));
    this.rail.addEventListener("change", () => this.frame.release());
    this.again = button("Replay", () => this.replay(), "Play the run again from its first step");
    this.at = h("output", { class: "w-at" });
    this.figures = h("span", { class: "w-figures" });
    this.status = h("span", { class: "w-status" });
    this.foot = h("div", { class: "w-rail" }, this.again, this.rail, this.at, this.figures);
    this.pick = h("select", { "aria-label": "Matrix that is looked at" });
    this.pick.addEventListener("change", () => { this.matrix = this.pick.value; this.frame.release(); this.frame.relay(); });
    this.axis = choice("Axis of the loss", [["linear", "linear"], ["log", "log"]], value => { this.axisNow = value; this.frame.relay(); this.frame.release(); });
    frame.foot.append(legend());
  }

  receive(data) {
    Object.assign(this, { run: data.run, methods: [], bases: {}, axisNow: data.log ? "log" : "linear", matrix: "", images: null, shown: data.live ? 0 : MOST });
    this.wished = "dora";
    this.step = NEWEST;
    this.take(data);
    this.menus();
    this.follow();
  }

  /** A button a method: new ones come while a run begins. */
  menus() {
    this.names = choice("Method", this.methods.map(one => [one.name, one.label]), value => { this.wished = value; this.frame.relay(); this.frame.release(); });
    this.names.box.classList.add("w-methods");
    this.values = this.methods.map((one, i) => {
      const value = h("b", {}), made = this.names.box.children[i];
      made.style.setProperty("--mine", `var(--x-${one.name})`);
      made.append(" ", value);
      return value;
    });
    this.frame.bar.replaceChildren(this.names.box, h("label", { class: "w-pick" }, "Matrix ", this.pick), this.axis.box, this.status);
  }

  /** What is new of the same run, or all of it again: nothing is laid out anew. False for another run. */
  more(data) {
    const next = checked(data);
    if (next.run !== this.run) return false;
    const had = this.methods.length;
    this.take(next);
    if (had !== this.methods.length) { this.menus(); this.frame.relay(); }
    this.follow();
    return true;
  }

  take(data) {
    Object.assign(this, { live: data.live, steps: data.steps, unit: data.unit, status_: data.status, images: data.images ?? this.images });
    for (const one of data.methods) {
      const mine = this.methods.find(known => known.name === one.name);
      if (!mine) { this.methods.push(one); continue; }
      mine.loss = [...mine.loss.slice(0, one.from), ...(one.from <= mine.loss.length ? one.loss : [])];
      const merged = (old, fresh) => [...old.filter(entry => !fresh.some(other => other.step === entry.step)), ...fresh].sort((a, b) => a.step - b.step);
      Object.assign(mine, { held: one.held, figures: one.figures, samples: merged(mine.samples, one.samples), looks: merged(mine.looks, one.looks) });
    }
    for (const [name, part] of data.bases) this.bases[name] = { ...this.bases[name], ...part };
    this.methods.sort((a, b) => METHODS.indexOf(a.name) - METHODS.indexOf(b.name));
    this.among = data.live ? data.matrices : [...new Set(this.methods.flatMap(one => one.looks.map(entry => entry.matrix)))];
    this.newest = Math.max(0, ...this.methods.map(one => Math.max(one.loss.length, ...one.looks.map(entry => entry.step))));
    this.rail.max = this.steps;
  }

  menu() {
    const seen = this.looks.at(-1)?.matrix ?? "";
    const names = this.among.length ? this.among : [seen];
    if (this.pick.childElementCount !== names.length || this.pick.value !== (this.matrix || seen)) {
      this.pick.replaceChildren(...names.map(name => h("option", { value: name }, name)));
      this.pick.value = this.matrix || seen;
    }
    this.pick.parentElement?.classList.toggle("w-none", names.length < 2);
  }

  get current() { return this.methods.find(one => one.name === this.wished) ?? this.methods[0]; }
  get method() { return this.current.name; }
  get looks() { return this.current.looks; }
  /** The look that is shown, of the matrix that was asked for where there is one. */
  get seen() {
    const mine = this.matrix ? this.looks.filter(entry => entry.matrix === this.matrix) : this.looks;
    return upTo(mine, this.shown) ?? mine[0] ?? upTo(this.looks, this.shown) ?? null;
  }

  // ---- where on the rail ----

  /** The newest, played towards; a hand on the rail ends that. */
  follow() {
    if (this.step !== NEWEST || this.playing) return;
    if (still() || this.shown >= this.newest) { this.shown = this.newest; this.frame.draw(); return; }
    let before = performance.now();
    const onward = now => {
      if (this.step !== NEWEST || !this.frame.root.isConnected) { this.playing = 0; return; }
      this.shown = Math.min(this.newest, this.shown + (Math.max(0, now - before) / 1000 / SECONDS) * this.steps);
      before = now;
      this.frame.paint();
      this.playing = this.shown < this.newest ? requestAnimationFrame(onward) : 0;
    };
    this.playing = requestAnimationFrame(onward);
  }
  go(step) {
    this.step = Math.round(Math.max(0, Math.min(this.newest, step)));
    this.shown = this.step;
    this.frame.draw();
  }
  replay() { this.step = NEWEST; this.shown = 0; this.follow(); this.frame.release(); }

  get state() { return { method: this.wished, matrix: this.matrix, axis: this.axisNow, step: this.step }; }
  set state({ method, matrix, axis, step }) {
    this.wished = oneOf("method", method, METHODS);
    this.matrix = text("matrix", matrix);
    this.axisNow = oneOf("axis", axis, ["linear", "log"]);
    this.step = whole("step", step, NEWEST, MOST);
    if (this.step !== NEWEST) this.shown = Math.min(this.step, this.newest);
  }

  // ---- the frame's questions ----

  layout(width) {
    this.names.value = this.method;
    this.axis.value = this.axisNow;
    this.menu();
    const gap = 28, target = Boolean(this.base?.T), some = target || this.methods.some(one => one.samples.length), wide = width >= 900, two = !wide && width >= 640;
    const third = some ? Math.min(300, Math.max(215, Math.round(width * 0.23))) : 0, rest = width - (some ? third + gap : 0);
    const first = wide ? Math.round((rest - gap) * 0.42) : two ? Math.round(width * 0.42) : width;
    const high = this.frame.projector ? 330 : 300;
    const boxes = wide
      ? [[0, 0, first], [first + gap, 0, rest - first - gap], [rest + gap, 0, third]]
      : two ? [[0, 0, first], [first + gap, 0, width - first - gap], [0, high + 20, width]] : [[0, 0, width], [0, 270, width], [0, 590, width]];
    this.drawing = s("svg", { role: "group", "aria-label": "A run as it learns: loss by step, and a matrix that is trained" });
    const parts = [];
    this.curves.layout(this.drawing, ...boxes[0], wide || two ? high : 250);
    parts.push(...this.panel.layout(this.drawing, ...boxes[1], wide || two ? high : 300));
    const sample = some ? this.samples.layout(this.drawing, ...boxes[2], wide ? high : 0) : { parts: [], height: 0 };
    parts.push(...sample.parts);
    const height = wide ? high : boxes[2][1] + sample.height;
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height })) this.drawing.setAttribute(name, value);
    draggable(this.curves.ground, {
      start: event => this.go(this.curves.stepAt(place(event, this.drawing).x)),
      move: event => this.go(this.curves.stepAt(place(event, this.drawing).x)),
      end: () => this.frame.release(),
    });
    this.frame.stage.replaceChildren(this.drawing, ...parts, this.foot);
  }

  get base() {
    const found = this.bases[`${this.method.startsWith("q") ? "4bit" : "float"} ${this.seen?.matrix ?? ""}`];
    return found?.W ? found : null;
  }

  lossAt(one, step) { const at = Math.floor(step); return at < 1 ? one.held[0]?.[1] : one.loss[Math.min(at, one.loss.length) - 1]; }

  paint() {
    if (!this.samples.fits()) { this.layout(this.frame.width); }
    const at = Math.floor(this.shown);
    this.curves.paint();
    this.panel.paint();
    this.samples.paint();
    if (this.rail.matches(":active") === false || this.step !== NEWEST) this.rail.value = at;
    this.rail.setAttribute("aria-valuetext", `step ${at} of ${this.steps}`);
    this.put(this.at, `step ${at} of ${this.steps}`);
    this.put(this.figures, this.current.figures);
    this.put(this.status, this.status_);
    this.methods.forEach((one, i) => this.values[i] && this.put(this.values[i], this.said(this.lossAt(one, at))));
    this.again.disabled = this.live;
  }
  put(element, words) { if (element.textContent !== words) element.textContent = words; }
  said(loss) { return loss === undefined || Number.isNaN(loss) ? "…" : loss !== 0 && Math.abs(loss) < 1e-3 ? loss.toExponential(0).replace("-", "\u2212") : num(loss, 3); }

  get picture() { return this.drawing; }
  get sentence() {
    const seen = this.seen, one = this.current, at = Math.floor(this.shown);
    if (!seen) return this.status_ || "The first look at the weights is on its way.";
    const [turned, longer] = seen.moved, part = seen.rows > 64 || seen.columns > 64 ? ` (its first 64 rows and columns are drawn)` : "";
    const numbersOf = one.name === "full" ? `all ${seen.rows * seen.columns} numbers` : `${seen.r * (seen.rows + seen.columns) + (seen.gain ? seen.rows : 0)} numbers`;
    return `${one.label}, step ${at}: loss ${this.said(this.lossAt(one, at))}. Of ${seen.matrix}, ${seen.rows} × ${seen.columns}${part}, ${numbersOf} are trained; a row has turned by ${num(turned, 4)} (1 − cos) and changed its length by ${num(longer, 3)}, on average.`;
  }
}
