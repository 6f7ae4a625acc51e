// A run as it learns, whole or bit by bit (`more`).
import { product } from "./core.js";
import { bars, button, checked, choice, draggable, dress, h, legend, num, number, numbers, oneOf, over, pixels, place, plate, press, s, sheet, sized, still, text, top, whole } from "./shell.js";

const METHODS = ["full", "lora", "dora", "qlora", "qdora"];
const SECONDS = 3;
const MOST = 100000;
const NEWEST = -1; // the step of somebody who follows

/** [scale, base64] as numbers; `bits` 8 or 16. */
export function unpacked(name, value, count, bits = 8) {
  if (!Array.isArray(value) || value.length !== 2) throw new RangeError(`${name} must be a scale and codes`);
  const scale = number(`${name}'s scale`, value[0], 0), raw = atob(text(name, value[1], 20000));
  const codes = new (bits > 8 ? Int16Array : Int8Array)(count), bytes = new Uint8Array(codes.buffer);
  if (raw.length !== bytes.length) throw new RangeError(`${name} must be ${bytes.length} bytes, got ${raw.length}`);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Float64Array(codes).map(code => scale * code);
}

function look([step, data]) {
  const [rows, columns] = numbers("shape", data.shape, 2, 2, 1, 1e6), n = Math.min(64, rows), m = Math.min(64, columns);
  const made = { step: whole("step", step, 0, MOST), rows, columns, n, m,
    ...checked(data, { matrix: [text], spectrum: [numbers, 0, 12, 0], moved: [numbers, 2, 2] }),
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

function fixed(data) {
  const [rows, columns] = numbers("shape", data.shape, 2, 2, 1, 1e6), n = Math.min(64, rows), m = Math.min(64, columns);
  return { n, m, ...(data.W && { W: unpacked("W", data.W, n * m) }), ...(data.T && { T: unpacked("T", data.T, n * m) }) };
}

function read(data) {
  return {
    ...checked(data, { run: [text], unit: [text], status: [text, 300], steps: [whole, 1, MOST] }),
    live: Boolean(data.live), log: Boolean(data.log), methods: data.methods.slice(0, 5).map(told),
    matrices: data.matrices.slice(0, 400).map(name => text("matrix", name)),
    bases: ["float", "4bit"].flatMap(kind => Object.entries(data.bases[kind] ?? {}).map(([matrix, part]) => [`${kind} ${matrix}`, fixed(part)])),
    images: data.images ? { truths: numbers("truths", data.images[1], 1, 40), pixels: unpacked("pixels", data.images[0], 64 * data.images[1].length) } : null,
  };
}

export class Weights {
  static check(data) { return read(data); }

  constructor(frame) {
    this.frame = frame;
    this.curves = new Curves(this);
    this.panel = new Panel(this);
    this.samples = new Samples(this);
    this.rail = h("input", { type: "range", min: 0, step: 1, "aria-label": "Step of the run", "data-spot": "rail" });
    this.rail.addEventListener("input", () => this.go(Number(this.rail.value)));
    this.rail.addEventListener("change", () => this.frame.release());
    this.again = button("Replay", () => this.replay());
    this.at = h("output", { class: "w-at" });
    this.status = h("span", { class: "w-status" });
    this.foot = h("div", { class: "w-rail" }, this.again, this.rail, this.at, legend());
    this.pick = h("select", { "aria-label": "Matrix that is looked at" });
    this.pick.addEventListener("change", () => { this.matrix = this.pick.value; this.frame.release(); this.frame.relay(); });
    this.axis = choice("Axis of the loss", [["linear", "linear"], ["log", "log"]], value => { this.axisNow = value; this.frame.relay(); this.frame.release(); });
    this.deeper = button("Spectrum and rows", () => { this.detail = 1 - this.detail; this.frame.relay(); this.frame.release(); });
    frame.bar.append(this.status);
    const more = button("More", () => { more.ariaExpanded = more.ariaExpanded === "false"; });
    more.ariaExpanded = false;
    frame.foot.append(more, h("label", { class: "w-pick" }, "Matrix ", this.pick), this.axis.box, this.deeper);
  }

  receive(data) {
    Object.assign(this, { run: data.run, falls: data.log, methods: [], bases: {}, axisNow: data.log ? "log" : "linear", matrix: "", images: null, shown: data.live ? 0 : MOST });
    this.wished = "dora";
    this.step = NEWEST;
    this.detail = 0;
    this.take(data);
    this.follow();
  }

  more(data) {
    if (data.run !== this.run) return false;
    const next = read(data);
    const had = this.methods.length;
    this.take(next);
    if (had !== this.methods.length) this.frame.relay();
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
  get seen() {
    const mine = this.matrix ? this.looks.filter(entry => entry.matrix === this.matrix) : this.looks;
    return upTo(mine, this.shown) ?? mine[0] ?? upTo(this.looks, this.shown) ?? null;
  }

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

  get state() { return { method: this.wished, matrix: this.matrix, axis: this.axisNow, step: this.step, detail: this.detail }; }
  pickMethod(name) { this.wished = name; this.frame.relay(); this.frame.release(); }
  set state(state) {
    const { method, axis, ...rest } = checked(state, { method: [oneOf, METHODS], axis: [oneOf, ["linear", "log"]], matrix: [text], step: [whole, NEWEST, MOST], detail: [whole, 0, 1] });
    Object.assign(this, rest, { wished: method, axisNow: axis });
    if (this.step !== NEWEST) this.shown = Math.min(this.step, this.newest);
  }

  layout(width) {
    this.axis.value = this.axisNow;
    this.deeper.setAttribute("aria-pressed", Boolean(this.detail));
    this.menu();
    const gap = 28, target = Boolean(this.base?.T), some = target || this.methods.some(one => one.samples.length), wide = width >= 900, two = !wide && width >= 640;
    const third = some ? (target ? 152 : Math.min(300, Math.max(215, Math.round(width * 0.23)))) : 0, rest = width - (some ? third + gap : 0);
    const first = wide ? Math.round((rest - gap) * (target ? 0.43 : 0.46)) : two ? Math.round(width * 0.46) : width;
    const high = this.frame.projector ? 340 : 350;
    const boxes = wide
      ? [[0, 0, first], [first + gap, 0, rest - first - gap], [rest + gap, 0, third]]
      : two ? [[0, 0, first], [first + gap, 0, width - first - gap], [0, high + 20, width]] : [[0, 0, width], [0, 290, width], [0, 600, width]];
    this.drawing = sheet("A run as it learns: loss by step, and a matrix that is trained");
    const parts = [];
    this.curves.layout(this.drawing, ...boxes[0], wide || two ? high : 270);
    parts.push(...this.panel.layout(this.drawing, ...boxes[1], wide || two ? high : 300));
    if (!some) this.samples.kind = "";
    const sample = some ? this.samples.layout(this.drawing, ...boxes[2], wide ? high : 0) : { parts: [], height: 0 };
    parts.push(...sample.parts);
    const height = wide ? high : boxes[2][1] + sample.height;
    sized(this.drawing, width, height);
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
    if (!this.samples.fits()) this.layout(this.frame.width);
    const at = Math.floor(this.shown);
    this.panel.paint();
    this.curves.paint();
    this.samples.paint();
    if (!this.rail.matches(":active") || this.step !== NEWEST) this.rail.value = at;
    this.rail.setAttribute("aria-valuetext", `step ${at} of ${this.steps}`);
    this.put(this.at, `step ${at} of ${this.steps}`);
    this.put(this.status, this.status_);
    this.again.disabled = this.live;
  }
  put(element, words) { if (element.textContent !== words) element.textContent = words; }
  said(loss) { return loss === undefined || Number.isNaN(loss) ? "…" : loss !== 0 && Math.abs(loss) < 1e-3 ? loss.toExponential(0).replace("-", "\u2212") : num(loss, 3); }

  get sentence() {
    const seen = this.seen, one = this.current, at = Math.floor(this.shown);
    if (!seen) return this.status_ || "The first look at the weights is on its way.";
    const said = `${one.label}, step ${at}: loss ${this.said(this.lossAt(one, at))}. ${one.figures.replace(/^.*?: /, "")}.`, [turned, longer] = seen.moved;
    return this.detail ? `${said} A row of ${seen.matrix}, ${seen.rows} × ${seen.columns}, has turned by ${num(turned, 4)} (1 − cos) and changed its length by ${num(longer, 3)}, on average.` : said;
  }
}

// ---- losses: a line in training, dots held out ----
const FLOOR = 1e-6;

class Curves {
  constructor(view) { this.view = view; }

  layout(drawing, x, y, width, height) {
    const { view } = this, { projector } = view.frame, room = projector ? 148 : 118;
    Object.assign(this, { x: x + 46, y: y + 26, width: width - 46 - room, height: height - 66 });
    this.ground = s("rect", { x: this.x, y: this.y, width: this.width, height: this.height, style: "fill:transparent;cursor:ew-resize;touch-action:pan-y" });
    this.axes = s("g", {});
    this.line = s("line", { style: "stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3", y1: this.y, y2: this.y + this.height });
    const under = s("text", { class: "small quiet left", x, y: this.y + this.height + 32 }, `step; loss in ${view.unit}, dots: held out`);
    const done = s("text", { class: "small left halo", x: this.x + 8, y: this.y + this.height - 11 }, view.falls ? "↓ learned" : "");
    this.lines = new Map();
    const group = s("g", {}), names = s("g", {});
    for (const one of view.methods) {
      const mine = one.name === view.method, value = s("tspan", { class: "w-value", dx: 6 }), words = s("text", { class: "left halo" }, one.label, value);
      const label = s("g", { class: "w-name", style: `--mine:var(--x-${one.name})`, role: "button", tabindex: 0, "aria-pressed": String(mine), "aria-label": one.label, "data-spot": one.name },
        s("rect", { x: -6, y: -11, width: room - 9, height: 22, rx: 5 }), words);
      press(label, () => view.pickMethod(one.name));
      const made = { path: s("path", { class: "line", "stroke-width": mine ? 3 : 2, "stroke-dasharray": one.dash }), marks: s("g", {}) };
      group.append(s("g", { class: "w-method", style: `--mine:var(--x-${one.name})` }, made.path, made.marks));
      names.append(label);
      this.lines.set(one.name, { ...made, label, value });
    }
    drawing.append(s("text", { class: "title left", x, y: y + 8 }, "How wrong each one still is"), this.axes, under, done, group, this.line, this.ground, names);
    this.drawn = "";
  }

  stepAt(x) { return ((x - this.x) / this.width) * this.view.steps; }
  atStep(step) { return this.x + (step / this.view.steps) * this.width; }
  get log() { return this.view.axisNow === "log"; }
  level(value) { return this.log ? Math.log10(Math.max(FLOOR, value)) : value; }
  atLoss(value) { return this.y + this.height * (1 - (this.level(value) - this.low) / (this.high - this.low || 1)); }

  range() {
    let low = Infinity, high = -Infinity;
    const starts = this.view.methods.map(one => one.held[0]?.[1] ?? -Infinity), limit = 3 * Math.max(...starts, 1e-9);
    for (const one of this.view.methods) for (const value of [...one.loss, ...one.held.map(entry => entry[1])])
      if (value <= limit) { const at = this.level(value); low = Math.min(low, at); high = Math.max(high, at); }
    if (!(high > low)) { high = Math.max(1, high); low = Math.min(low, high - 1); }
    if (this.log) { low = Math.max(Math.log10(FLOOR), low); high += 0.1; } else { low = low < 0.35 * high ? 0 : low; high += 0.04 * (high - low); }
    this.limit = limit;
    Object.assign(this, { low, high });
  }

  axis() {
    const { low, high } = this, marks = [], wanted = this.log ? Math.max(1, Math.ceil((high - low) / 5)) : nice((high - low) / 4);
    for (let at = Math.ceil(low / wanted - 1e-9) * wanted; at <= high + 1e-9; at += wanted) marks.push(at);
    const line = at => this.y + this.height * (1 - (at - low) / (high - low));
    const says = at => (this.log ? (at < -2 || at > 3 ? `1e${num(at, 0)}` : num(10 ** at, 3)) : num(at, Math.max(0, -Math.floor(Math.log10(wanted)))));
    const across = [0, 0.25, 0.5, 0.75, 1].map(part => Math.round(part * this.view.steps));
    this.axes.replaceChildren(
      ...marks.flatMap(at => [s("path", { class: "axis", d: `M${this.x},${line(at)}h${this.width}` }), s("text", { class: "small right", x: this.x - 6, y: line(at) }, says(at))]),
      ...[...new Set(across)].map(step => s("text", { class: "small", x: this.atStep(step), y: this.y + this.height + 13 }, String(step))));
  }

  paint() {
    const { view } = this, at = Math.floor(view.shown);
    const stamp = `${view.method} ${at} ${view.methods.map(one => one.loss.length + one.held.length).join()}`;
    if (stamp === this.drawn) return;
    this.drawn = stamp;
    this.range();
    this.axis();
    const ends = [];
    for (const one of view.methods) {
      const made = this.lines.get(one.name), path = (points, most) => points.filter(([step, value]) => step <= most && value <= this.limit).map(([step, value], i) => `${i ? "L" : "M"}${this.atStep(step).toFixed(1)},${this.atLoss(value).toFixed(1)}`).join("");
      const every = Math.ceil(one.loss.length / 250), points = one.loss.map((value, i) => [i + 1, value]).filter((_, i) => (i + 1) % every === 0 || i === one.loss.length - 1);
      const held = one.held.filter(([step, value]) => step <= at && value <= this.limit), last = view.lossAt(one, at);
      made.path.setAttribute("d", path([...one.held.slice(0, 1), ...points], at));
      made.marks.replaceChildren(...held.map(([step, value]) => s("circle", { cx: this.atStep(step), cy: this.atLoss(value), r: one.name === view.method ? 5 : 3.5 })));
      view.put(made.value, view.said(last));
      ends.push({ label: made.label, last, y: Math.max(this.y, this.atLoss(last <= this.limit ? last : this.limit)) });
    }
    spread(ends, 23, this.y, this.y + this.height - (at < view.steps && 36));
    const x = this.atStep(at);
    for (const { label, y } of ends) label.setAttribute("transform", `translate(${x + 14},${y})`);
    dress(this.line, { x1: x, x2: x });
    this.line.style.display = at < view.steps ? "" : "none";
  }
}

function spread(ends, gap, top, bottom) {
  ends.sort((a, b) => a.y - b.y || b.last - a.last);
  ends.forEach((end, i) => { end.y = Math.max(end.y, i ? ends[i - 1].y + gap : top); });
  for (let i = ends.length - 1; i >= 0; i--) ends[i].y = Math.min(ends[i].y, i < ends.length - 1 ? ends[i + 1].y - gap : bottom);
}

const nice = step => { const ten = 10 ** Math.floor(Math.log10(step)); return [1, 2, 5, 10].find(part => part * ten >= step) * ten; };

// ---- one matrix: heat maps, singular values, rows by turn and length ----
const BARS = 12;
const ZERO = 14; // pixels from the edge to an unturned row
const UNTURNED = 1e-3;

class Panel {
  constructor(view) { this.view = view; this.tops = new WeakMap(); }

  layout(drawing, x, y, width, height) {
    const { view } = this, seen = view.seen, full = view.method === "full", r = seen?.r ?? 0, four = view.method.startsWith("q");
    this.key = `${view.method} ${seen?.matrix} ${r}`;
    const strip = full ? 0 : Math.max(7, Math.min(26, 2 * r)), sign = 26;
    const side = Math.min(170, height / 2, (width - 2 * sign - strip - 30) / 3), rows = seen ? Math.min(1, seen.n / seen.m) : 1;
    const high = side * rows, named = y + 38, top = named + 18 + (full ? 0 : strip + 10);
    this.canvases = {};
    const words = (content, cx, cy, kind = "title") => { const made = s("text", { class: kind, x: cx, y: cy }, content); drawing.append(made); return made; };
    const map = (name, kind, left, upper, w, hi) => {
      drawing.append(plate(kind, left, upper, w, hi, view.method, 3));
      const canvas = over(left, upper, w, hi, { "aria-label": name });
      canvas.addEventListener("pointermove", event => this.point(Math.floor((event.offsetY / hi) * (this.view.seen?.n ?? 1))));
      canvas.addEventListener("pointerleave", () => this.point(null));
      this.canvases[name] = canvas;
      return left + w;
    };
    const under = (name, content) => { words(name, at + side / 2, named); if (!view.detail) words(content, at + side / 2, top + high + 20, ""); };
    let at = x + 4;
    words(`Inside ${view.current.label}`, x, y + 8, "title left");
    under("W, the model", full ? "as it was" : four ? "frozen, 4 bits" : "frozen");
    at = map("W", four ? "four" : "frozen", at, top, side, high);
    words("+", at + sign / 2, top + high / 2, "sign");
    at += sign;
    if (!full) {
      words("B", at + strip / 2, top - 12, "small");
      at = map("B", "trained", at, top, strip, high) + 9;
      words("A", at + side + 11, top - strip / 2 - 9, "small");
      map("A", "trained", at, top - strip - 9, side, strip);
    }
    under("ΔW, its change", full ? "all trained" : "B · A, trained");
    at = map("D", full ? "trained" : "sum", at, top, side, high);
    words("=", at + sign / 2, top + high / 2, "sign");
    at += sign;
    under("W′, now", seen?.gain ? "of length m" : "");
    at = map("S", "sum", at, top, side, high);
    if (seen?.gain) { words("m", at + 12.5, top - 12, "small"); map("m", "trained", at + 9, top, 7, high); }
    const lower = top + high + 44, half = Math.round(width * 0.4);
    if (view.detail) {
      this.bars(drawing, x + 4, lower, half - 24, y + height - 22, words);
      this.plane(drawing, x + half + 34, lower, width - half - 44, y + height - 22, words);
    }
    this.drawn = null;
    return Object.values(this.canvases);
  }

  bars(drawing, x, y, width, floor, words) {
    words("Singular values of W′ − W", x, y - 16, "small title left");
    this.columns = bars(drawing, x, floor, width, floor - y, BARS, this.view.method);
    this.largest = words("", x, floor + 12, "small quiet left");
  }

  plane(drawing, x, y, width, floor, words) {
    Object.assign(this, { px: x, py: y, pw: width, ph: floor - y });
    words("Rows: longer ↑, turned →", x - 4, y - 16, "small title left");
    drawing.append(s("path", { class: "axis", d: `M${x + ZERO},${y}V${floor}M${x},${floor}h${width}M${x},${(y + floor) / 2}h${width}` }));
    words("0", x + ZERO, floor + 12, "small quiet");
    this.dots = Array.from({ length: 64 }, () => s("circle", { r: 3, style: `fill:var(--x-${this.view.method});fill-opacity:.65` }));
    this.ends = [words("", x - 4, y + 2, "small right quiet"), words("", x - 4, floor - 2, "small right quiet"), words("", x + width, floor + 12, "small right quiet")];
    this.mark = s("circle", { r: 7, class: "x-mark", style: "display:none" });
    drawing.append(...this.dots, this.mark);
  }

  top(one, matrix) {
    const known = this.tops.get(one);
    if (known?.count === one.looks.length && known.matrix === matrix) return known;
    const mine = one.looks.filter(look => look.matrix === matrix), made = { count: one.looks.length, matrix, D: 1e-12, value: 1e-12 };
    for (const look of mine) { made.D = Math.max(made.D, top(this.update(look))); made.value = Math.max(made.value, look.spectrum[0] ?? 0); }
    this.tops.set(one, made);
    return made;
  }
  update(look) { return (look.update ??= look.D ?? product(look.B, look.A, look.n, look.r, look.m, look.scale)); }

  reach() {
    let turn = 1e-9, length = 1e-9;
    for (const one of this.view.methods) for (const look of one.looks.slice(-1)) { turn = Math.max(turn, top(look.turns)); length = Math.max(length, top(look.lengths)); }
    return { turn, length };
  }

  paint() {
    const { view } = this, seen = view.seen, base = view.base;
    if (!seen) return;
    if (this.key !== `${view.method} ${seen.matrix} ${seen.r ?? 0}`) view.layout(view.frame.width);
    const stamp = `${view.run} ${view.method} ${seen.matrix} ${seen.step} ${view.current.looks.length} ${Boolean(base)} ${getComputedStyle(view.frame.root).color}`;
    if (stamp === this.drawn) return;
    this.drawn = stamp;
    const { n, m } = seen, D = this.update(seen), most = this.top(view.current, seen.matrix), put = (name, values, rows, columns, up) => this.canvases[name] && pixels(this.canvases[name], values, rows, columns, up);
    put("D", D, n, m, most.D);
    if (seen.B) { put("B", seen.B, n, seen.r, top(seen.B)); put("A", seen.A, seen.r, m, top(seen.A)); }
    if (base) {
      const high = top(base.W);
      this.sum = base.W.map((value, at) => (seen.gain ? seen.gain[Math.floor(at / m)] : 1) * (value + D[at]));
      put("W", base.W, n, m, high);
      put("S", this.sum, n, m, high);
    }
    if (seen.gain) { const off = seen.lengths; put("m", off, n, 1, Math.max(1e-9, top(off))); }
    for (const [name, canvas] of Object.entries(this.canvases)) canvas.setAttribute("aria-label", `${{ D: "ΔW", S: "W′", m: "change of each row's length" }[name] ?? name} of ${seen.matrix} after step ${seen.step}`);
    if (!view.detail) return;
    this.columns(seen.spectrum, most.value);
    this.largest.textContent = seen.spectrum[0] ? `largest ${num(seen.spectrum[0], 3)}` : "all zero";
    this.scatter(seen);
  }

  scatter(seen) {
    const { turn, length } = this.reach();
    this.dots.forEach((dot, i) => {
      dot.style.display = i < seen.n ? "" : "none";
      if (i >= seen.n) return;
      dress(dot, { cx: this.px + ZERO + Math.min(1, seen.turns[i] / turn) * (this.pw - ZERO), cy: this.py + this.ph * (0.5 - 0.5 * Math.max(-1, Math.min(1, seen.lengths[i] / length))) });
    });
    [`+${num(100 * length, 0)} %`, `${num(-100 * length, 0)} %`, top(seen.turns) < UNTURNED ? "no row turned" : `1 − cos = ${num(turn, turn < 0.01 ? 4 : 2)}`].forEach((words, i) => { this.ends[i].textContent = words; });
  }

  point(row) {
    const { seen, detail } = this.view, dot = detail && row !== null && this.dots[row];
    if (this.mark) this.mark.style.display = dot && seen ? "" : "none";
    if (!dot || !seen) return;
    for (const name of ["cx", "cy"]) this.mark.setAttribute(name, dot.getAttribute(name));
    this.view.frame.said.textContent = `Row ${row + 1}: turned by ${num(seen.turns[row], 4)} (1 − cos), ${num(100 * Math.abs(seen.lengths[row]), 1)} % ${seen.lengths[row] < 0 ? "shorter" : "longer"}.`;
  }
}

// ---- what the model does, before and now ----
const upTo = (entries, step) => entries.findLast(entry => entry.step <= step) ?? null;

class Samples {
  constructor(view) { this.view = view; this.kind = ""; }

  wanted() {
    const { view } = this, one = view.current;
    return view.base?.T ? "left" : view.images ? "digits" : one.samples.length ? (one.samples[0].items.some(item => String(item).includes("\n")) ? "text" : "names") : "";
  }
  fits() { return this.kind === this.wanted(); }

  layout(drawing, x, y, width, height) {
    const title = { left: "Still to learn", digits: "What it reads", names: "Names it makes", text: "What it writes" };
    this.kind = this.wanted();
    this.now = null;
    drawing.append(s("text", { class: "title left", x, y: y + 8 }, title[this.kind] ?? ""));
    if (this.kind === "left") return this.teacher(drawing, x, y, width);
    this.box = h("div", { class: `w-samples w-${this.kind}` });
    const high = height ? height - 24 : this.kind === "digits" ? 280 : this.kind === "text" ? 320 : 300;
    this.box.style.cssText = `left:${x}px;top:${y + 24}px;width:${width}px;height:${high}px`;
    return { parts: this.kind ? [this.box] : [], height: high + 30 };
  }

  teacher(drawing, x, y, width) {
    const across = width > 300, side = Math.min(across ? 200 : 152, (width - 20) / (across ? 2 : 1));
    this.canvases = ["before", "now"].map((name, i) => {
      const left = x + (across ? i * (side + 20) : 0), top = y + 44 + (across ? 0 : i * (side + 22));
      drawing.append(s("text", { class: "left", x: left, y: top - 11 }, name));
      return over(left, top, side, side, { class: "w-left", "aria-label": `Goal minus W${i ? "′" : ""}, ${name}` });
    });
    return { parts: this.canvases, height: across ? side + 50 : 2 * side + 70 };
  }

  paint() {
    const { view } = this;
    if (this.kind === "left") this.paintTeacher();
    if (!this.kind || this.kind === "left") return;
    const of = one => upTo(one.samples, view.shown), stamp = `${view.run} ${view.method} ${view.methods.map(one => of(one)?.step).join()}`;
    if (stamp === this.now) return;
    this.now = stamp;
    const one = view.current, before = one.samples[0], now = of(one) ?? before;
    if (before) this.box.replaceChildren(...(this.kind === "digits" ? this.digits(of) : this.words(before, now)));
  }

  paintTeacher() {
    const { base, seen } = this.view, D = this.view.panel.sum, stamp = `${this.view.method} ${seen?.step} ${this.view.panel.drawn}`;
    if (!base?.T || !D || stamp === this.now) return;
    this.now = stamp;
    const before = base.T.map((value, at) => value - base.W[at]), top = Math.max(...before.map(Math.abs));
    pixels(this.canvases[0], before, base.n, base.m, top);
    pixels(this.canvases[1], base.T.map((value, at) => value - D[at]), base.n, base.m, top);
  }

  words(before, now) {
    const column = (title, look, old) => h("div", {}, h("b", {}, title), look.items.slice(0, this.kind === "text" ? 2 : 10).map((item, i) =>
      h(this.kind === "text" ? "pre" : "p", { class: old && item !== old.items[i] ? "lit" : null }, String(item))), h("p", { class: "w-said" }, look.said));
    return [column("Before", before, null), column(`${this.view.current.label}, step ${now.step}`, now, before)];
  }

  digits(of) {
    const { view } = this, { truths, pixels: values } = view.images, many = Math.min(truths.length, 10);
    const row = (title, guesses, strong) => h("tr", { class: strong ? "strong" : null }, h("th", { scope: "row" }, title), Array.from({ length: many }, (_, i) =>
      h("td", { class: guesses ? (guesses[i] === truths[i] ? "right" : "wrong") : null }, guesses ? String(guesses[i]) : "")));
    const images = row("", null), share = look => (look ? `${Math.round((100 * look.items.filter((guess, i) => guess === truths[i]).length) / truths.length)} %` : "");
    images.querySelectorAll("td").forEach((cell, i) => {
      const canvas = h("canvas", { width: 8, height: 8, role: "img", "aria-label": `a ${truths[i]}` }), image = new ImageData(8, 8);
      for (let p = 0; p < 64; p++) image.data.set([0, 1, 2].map(() => 255 - 255 * values[i * 64 + p]).concat(255), 4 * p);
      canvas.getContext("2d").putImageData(image, 0, 0);
      cell.append(canvas);
    });
    const first = view.methods[0].samples[0];
    return [h("table", {}, images, row("Before", first?.items), view.methods.filter(one => of(one)).map(one => row(one.label, of(one).items, one.name === view.method))),
      h("p", { class: "w-said" }, `Crossed out: misread. Of ${truths.length} images ${view.current.label} reads ${share(of(view.current))}.`)];
  }
}
