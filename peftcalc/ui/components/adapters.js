// What an adapter adds: to one transformer block, and to one row of a weight.
import { decompose, norm } from "./core.js";
import { ADAPTERS, arrow, chart, checked, count, draggable, dress, figure, num, number, numbers, oneOf, place, plate, pointed, press, roving, s, sheet, text, whole } from "./shell.js";

// ---- a block in true proportion (LoRA paper, section 4.1) ----
const MOST = 24;
const THINNEST = 3; // pixels; rank 16 of 4,096 would be a fifth of one
const GAP = 3;

export class Block {
  static check(data) {
    if (!Array.isArray(data.boxes) || data.boxes.length > MOST) throw new RangeError(`boxes must be a list of at most ${MOST}`);
    const size = [whole, 0, 1e15];
    return {
      boxes: data.boxes.map(box => checked(box, {
        name: [text], path: [text], sum: [text], wide: size, tall: size, numbers: size, adds: size,
        blocks: [whole, 1, 1e6], lit: [whole, 0, 1], pick: [whole, -1, 99],
      })),
      ...checked(data, { model: [text], names: [whole, 0, 100], rank: [whole, 1, 1e6], four: [whole, 0, 1], method: [oneOf, ADAPTERS] }),
    };
  }

  constructor(frame) {
    this.frame = frame;
    this.total = figure("");
    frame.bar.append(this.total.box);
  }

  receive(data) {
    Object.assign(this, data);
    this.chosen = []; // none: every one
    this.at = this.last = null;
  }

  get state() { return { chosen: this.chosen }; }
  set state({ chosen }) { this.chosen = numbers("chosen", chosen, 0, 99, 0, 99); }

  has(box) { return this.chosen.length ? this.chosen.includes(box.pick) : Boolean(box.lit); }

  toggle(box) {
    if (box.pick < 0) return;
    const now = new Set(this.chosen.length ? this.chosen : Array.from({ length: this.names }, (_, i) => i));
    if (!now.delete(box.pick)) now.add(box.pick);
    this.last = now.size ? null : box;
    if (!now.size) return this.frame.draw();
    this.chosen = now.size === this.names ? [] : [...now].sort((a, b) => a - b);
    this.frame.release();
  }

  layout(width) {
    const { projector } = this.frame, letter = projector ? 10 : 8.2, under = projector ? 54 : 46, over = projector ? 30 : 26;
    const most = width < 640 ? 560 : 245, longest = Math.max(1, ...this.boxes.flatMap(box => [box.wide, box.tall]));
    const slots = scale => {
      let x = 0, rows = [[]];
      for (const box of this.boxes) {
        const room = Math.max(box.wide * scale + 24, box.name.length * letter + 30, 92);
        if (x && x + room > width) { rows.push([]); x = 0; }
        rows.at(-1).push({ box, x, room });
        x += room + 8;
      }
      const high = rows.map(row => Math.max(...row.map(({ box }) => box.tall * scale), 8));
      return { rows, high, scale, fits: rows.flat().every(({ room }) => room <= width), height: high.reduce((sum, one) => sum + one + under + over, 0) };
    };
    let plan = slots((most - under) / longest);
    while ((plan.height > most || !plan.fits) && plan.scale * longest > 24) plan = slots(plan.scale * 0.96);
    this.scale = plan.scale;
    const height = plan.height + 34;
    this.drawing = sheet(`One block of ${this.model}: each matrix as wide as its inputs and as tall as its outputs`, width, height);
    this.shown = [];
    let y = 0, path = null;
    plan.rows.forEach((row, k) => {
      y += over + plan.high[k];
      for (const slot of row) {
        this.matrix(slot, y, slot.box.path !== path && slot.box.path, plan.high[k]);
        path = slot.box.path;
      }
      y += under;
    });
    this.legend(y + 18);
    this.frame.stage.replaceChildren(this.drawing);
  }

  matrix({ box, x, room }, floor, title, high) {
    const w = Math.max(3, box.wide * this.scale), t = Math.max(3, box.tall * this.scale), left = x + 14, top = floor - t, color = `fill:var(--x-${this.method})`;
    const thick = Math.max(THINNEST, this.rank * this.scale), k = this.shown.length, small = { class: "small left" };
    const strips = s("g", { class: "x-glide", style: color },
      s("rect", { x: left - GAP - thick, y: top, width: thick, height: t }), s("rect", { x: left, y: top - GAP - thick, width: w, height: thick }),
      this.method.endsWith("dora") ? s("rect", { x: left + w + GAP, y: top, width: THINNEST, height: t }) : null);
    const tick = box.pick < 0 ? null : s("g", { transform: `translate(${x},${floor + 10})` }, s("rect", { class: "box", width: 13, height: 13, rx: 3 }), s("path", { class: "tick", d: "M3,7L6,10L11,3" }));
    const name = s("text", { class: "left", x: x + (tick ? 19 : 0), y: floor + 17 }, box.name), adds = s("text", { ...small, x, y: floor + 36 });
    const element = s("g", { class: box.pick < 0 ? "x-pick still" : "x-pick", role: box.pick < 0 ? "img" : "checkbox", tabindex: k ? -1 : 0, "data-spot": `${box.path}.${box.name}` },
      s("rect", { class: "ground", x: x - 4, y: floor - high - 12, width: room + 2, height: high + 58, rx: 8 }),
      title && s("text", { class: "small left quiet", x, y: floor - high - 18 }, title),
      plate(this.four ? "four" : "frozen", left, top, w, t, this.method, 0), strips, tick, name, adds);
    pointed(element, on => { this.at = on ? box : null; this.frame.draw(); });
    element.addEventListener("focus", () => this.frame.speak(this.sentence));
    press(element, () => this.toggle(box));
    roving(element, 0, k, (i, j) => this.shown[i + j]?.element, true);
    this.shown.push({ box, element, strips, name, adds });
    this.drawing.append(element);
  }

  legend(y) {
    let x = 0;
    for (const [kind, label] of [["frozen", "frozen"], ["four", "frozen, in 4 bits"], ["trained", "trained: B and A" + (this.method.endsWith("dora") ? " and m" : "")]]) {
      if (kind === (this.four ? "frozen" : "four")) continue;
      const swatch = plate(kind, x + 1, y - 8, 22, 16, this.method, 0), words = s("text", { class: "small left", x: x + 31, y: y + 1 }, label);
      this.drawing.append(swatch, words);
      x += 52 + label.length * (this.frame.projector ? 8.4 : 6.9);
    }
  }

  paint() {
    for (const { box, element, strips, name, adds } of this.shown) {
      const has = this.has(box);
      strips.style.opacity = has ? 1 : 0;
      name.style.fontWeight = has ? 700 : 400;
      adds.textContent = has ? `+ ${count(box.adds)}` : "frozen";
      element.setAttribute("aria-checked", String(has));
      element.setAttribute("aria-label", `${box.name}, ${count(box.wide)} to ${count(box.tall)}, ${has ? `an adapter of ${count(box.adds)}` : "no adapter"}`);
    }
    const { trained, frozen } = this.sums();
    this.total.set(count(trained), `trained in one block, beside ${count(frozen)} frozen (${num((100 * trained) / (frozen || 1), 2)} %)`);
  }
  sums() {
    const sum = of => this.boxes.reduce((total, box) => total + of(box), 0);
    return { trained: sum(box => (this.has(box) ? box.adds : 0)), frozen: sum(box => box.numbers) };
  }

  get sentence() {
    const box = this.at, bits = this.four ? " in 4 bits" : "";
    if (this.last) return `${this.last.name} keeps its adapter: there must be at least one target.`;
    if (box) {
      const shape = `${box.name}, ${count(box.wide)} inputs → ${count(box.tall)} outputs: ${count(box.numbers)} frozen numbers${bits}`;
      const each = box.blocks > 1 ? `, in each of ${count(box.blocks)} blocks` : "";
      if (this.has(box)) return `${shape}; the adapter trains ${box.sum} (${num((100 * box.adds) / (box.numbers || 1), 2)} %)${each}.`;
      return `${shape}, no adapter${each}.` + (box.pick < 0 ? "" : ` One would train ${box.sum}.`);
    }
    const thin = this.rank * this.scale;
    return "Each matrix is as wide as its inputs and as tall as its outputs; click one to give or take its adapter."
      + (thin < THINNEST ? ` True to scale the coloured strips were ${num(thin, thin < 0.1 ? 2 : 1)} pixels thin.` : "");
  }
}

// ---- a row (DoRA paper, section 3.2, eq. 3 to 5) ----
const TRAIL = 160;
const DEGREE = Math.PI / 180;
const SHORTEST = 0.02;
/** Shares of the reach. */
const FURTHEST = 0.86;
const NEAR = 0.04;
const COMPASS = 0.93;
const PANELS = [
  { method: "lora", title: "LoRA pushes the tip", says: "One push does both: drag the ring" },
  { method: "dora", title: "DoRA turns, then sets the length", says: "A compass, then a stride: drag either" },
];

export class Arrow {
  static check(data) {
    const pair = (name, value) => numbers(name, value, 2, 2, -1e3, 1e3);
    const start = pair("start", data.start), tip = pair("tip", data.tip);
    if (norm(start) === 0 || norm(tip) === 0) throw new RangeError("start and tip must not be zero: a zero row has no direction");
    return { start, tip, ...checked(data, { reach: [number, norm(start), 1e4], summit: [pair], climb: [number, 0, 1] }) };
  }

  constructor(frame) {
    this.frame = frame;
    this.figures = [figure("change of length, ΔM"), figure("change of direction, ΔD"), figure("length of LoRA's push")];
    frame.bar.append(...this.figures.map(one => one.box));
  }

  receive(data) {
    Object.assign(this, data);
    this.trail = [];
    this.m0 = norm(this.start);
    this.a0 = Math.atan2(this.start[1], this.start[0]);
  }

  get state() { return { x: this.tip[0], y: this.tip[1], climb: this.climb }; }
  set state(state) {
    const { x, y, climb } = checked(state, { x: [number, -1e4, 1e4], y: [number, -1e4, 1e4], climb: [number, 0, 1] });
    this.tip = this.within([x, y]);
    this.climb = climb;
    this.trail = [];
  }

  within(tip) {
    const length = norm(tip), most = this.reach * FURTHEST;
    if (length < SHORTEST * this.m0) return length > 0 ? tip.map(v => (v * SHORTEST * this.m0) / length) : this.tip;
    return length > most ? tip.map(v => (v * most) / length) : tip;
  }
  go(tip) {
    this.trail.push(this.mark(this.tip));
    if (this.trail.length > TRAIL) this.trail.shift();
    this.tip = this.within(tip);
    this.frame.draw();
  }
  mark(tip) {
    const dot = ([x, y]) => `M${x.toFixed(1)},${y.toFixed(1)}h0`;
    return { tip, panel: dot([this.X(tip[0]), this.Y(tip[1])]), plane: dot(this.onPlane(decompose(this.start, tip, 1, 2))) };
  }
  polar(length, angle) { this.go([length * Math.cos(angle), length * Math.sin(angle)]); }
  get angle() { return Math.atan2(this.tip[1], this.tip[0]); }
  /** Degrees from W to W′, counter-clockwise. */
  get turn() { return Math.atan2(Math.sin(this.angle - this.a0), Math.cos(this.angle - this.a0)) / DEGREE; }

  keys(event, dial) {
    const many = event.shiftKey ? 10 : 1;
    const turn = { ArrowLeft: 1, ArrowRight: -1, PageUp: 15, PageDown: -15 }[event.key], grow = dial ? undefined : { ArrowUp: 0.02, ArrowDown: -0.02 }[event.key];
    if (event.key === "Home") this.go(this.start);
    else if (turn) this.polar(norm(this.tip), this.angle + turn * many * DEGREE);
    else if (grow) this.polar(norm(this.tip) + grow * many * this.m0, this.angle);
    else return;
    event.preventDefault();
    this.frame.releaseSoon();
  }

  layout(width) {
    const { projector } = this.frame, gap = 24, title = projector ? 58 : 50;
    const across = width >= 760 ? 3 : width >= 520 ? 2 : 1;
    const side = Math.floor(Math.min(across === 1 ? 310 : 312, (width - (across - 1) * gap) / across)), low = across === 1 ? 210 : side;
    const at = [0, 1, 2].map(k => [(k % across) * (side + gap), Math.floor(k / across) * (side + title + 12)]);
    const height = at[2][1] + low + title + 4;
    this.side = side;
    this.drawing = sheet("Two ways to move one row of a weight to the same tip, and the change of its length against the change of its direction", width, height);
    this.parts = PANELS.map((panel, which) => this.panel(panel, which, ...at[which], title));
    this.plane(...at[2], low + title);
    this.trail = this.trail.map(({ tip }) => this.mark(tip));
    this.frame.stage.replaceChildren(this.drawing);
  }

  X(v) { return this.side / 2 + (v * this.side) / 2 / this.reach; }
  Y(v) { return this.side / 2 - (v * this.side) / 2 / this.reach; }

  panel({ method, title, says }, which, x, y, head) {
    const { side } = this, color = `var(--x-${method})`, middle = side / 2;
    const field = s("g", { style: `--mine:${color}`, transform: `translate(${x},${y + head})` });
    this.drawing.append(
      s("text", { class: "title left", x, y: y + 12 }, title),
      s("text", { class: "small left quiet", x, y: y + 34 }, says), field);
    field.append(s("rect", { class: "axis", width: side, height: side, rx: 8 }));
    if (this.climb) field.append(this.mountain());
    else field.append(s("path", { class: "axis", d: `M${middle},6V${side - 6}M6,${middle}H${side - 6}` }));
    const part = { field, method };
    part.dots = s("path", { class: "line been", "stroke-width": 4 });
    field.append(part.dots);
    if (which) {
      field.append(s("circle", { cx: middle, cy: middle, r: this.X(this.m0) - middle, class: "line", "stroke-dasharray": "2 5" }));
      part.ring = s("circle", { cx: middle, cy: middle, class: "line" });
      part.arc = s("path", { class: "line", "stroke-width": 4 });
      part.stem = s("path", { class: "line", "stroke-dasharray": "2 5" });
      field.append(part.ring, part.arc, part.stem);
    }
    part.before = arrow(field, "var(--frozen)");
    part.after = arrow(field, "var(--ink)");
    part.step = arrow(field, color);
    part.names = ["before", "after", ...(which ? ["turn", "direction", "length"] : ["push"])].map(text => s("text", { class: "halo" }, text));
    field.append(...part.names);
    if (which) part.dial = this.handle(part, "Direction of W prime, the compass", true);
    part.handle = this.handle(part, which ? "Tip of W prime, as DoRA moves it" : "Tip of W prime, as LoRA moves it", false);
    return part;
  }

  handle({ field, method }, label, dial) {
    const ring = s("circle", { class: "ring", r: dial ? 9 : 11, style: dial ? `fill:var(--x-${method})` : null });
    const made = s("g", { class: "x-handle", tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": -180, "aria-valuemax": 180,
      "data-spot": `${method}${dial ? "-dial" : ""}` }, s("circle", { r: dial ? 18 : 22, style: "fill:transparent" }), ring);
    field.append(made);
    draggable(made, {
      move: event => {
        const { x, y } = place(event, field), to = [((x - this.side / 2) * 2 * this.reach) / this.side, (-(y - this.side / 2) * 2 * this.reach) / this.side];
        if (norm(to) === 0) return;
        if (dial) this.polar(norm(this.tip), Math.atan2(to[1], to[0]));
        else this.go(to);
      },
      end: () => this.frame.release(),
    });
    made.addEventListener("keydown", event => this.keys(event, dial));
    return made;
  }

  /** Where the compass stands. */
  rim(share) { return [Math.cos(this.angle), Math.sin(this.angle)].map(v => v * share * this.reach * COMPASS); }

  mountain() {
    const x = this.X(this.summit[0]), y = this.Y(this.summit[1]), group = s("svg", { width: this.side, height: this.side, style: "overflow:hidden" });
    for (let k = 5; k > 0; k--) group.append(s("ellipse", { class: "axis", cx: x, cy: y, rx: (k * this.side) / 11, ry: (k * this.side) / 14, style: `fill:color-mix(in srgb, var(--ink) ${(6 - k) * 2}%, transparent)` }));
    group.append(s("path", { d: `M${x - 7},${y + 6}L${x},${y - 7}L${x + 7},${y + 6}Z`, style: "fill:var(--ink)" }), s("text", { class: "small halo", x, y: y - 18 }, "summit"),
      s("text", { class: "small halo quiet", x: this.side / 2, y: this.side / 2 + 16 }, "camp"));
    return group;
  }

  plane(x, y, height) {
    const top = Math.max(this.m0, this.reach * FURTHEST - this.m0), ys = Array.from({ length: 9 }, (_, k) => (k + 1) * (top > 4 ? 2 : 0.5)).filter(v => v <= top);
    const { group, across, up, line, dot } = chart(this.drawing, x, y + 4, this.side, height,
      { title: "The same move as one dot", across: ["right: turned, ΔD; 1 is 90°, 2 is 180°", 0, 2, [0, 0.5, 1, 1.5, 2]], up: ["up: longer or shorter, ΔM", 0, top, ys] });
    const right = line("stroke:var(--x-lora);stroke-width:1.5;stroke-dasharray:4 4", "pushed at a right angle", { class: "small quiet left halo" });
    right.set(Array.from({ length: 50 }, (_, k) => this.m0 * (1 / (1 - k / 50) - 1)).filter(v => v <= top), 0, 1 / 50);
    right.name(0.8 * top, 0.56, 0);
    this.dots = s("path", { class: "line been", "stroke-width": 5 });
    group.append(this.dots);
    this.here = dot("fill:var(--ink)");
    this.onPlane = ({ magnitude, direction }) => [across(direction), up(Math.min(magnitude, top))];
  }

  paint() {
    const { start, tip } = this, now = (this.change = decompose(start, tip, 1, 2)), m = now.m[0];
    const turned = [this.m0 * Math.cos(this.angle), this.m0 * Math.sin(this.angle)], X = v => this.X(v), Y = v => this.Y(v);
    const dots = this.trail.map(({ panel }) => panel).join("");
    this.parts.forEach((part, which) => {
      const from = which ? turned : start;
      part.before.set(X(0), Y(0), X(start[0]), Y(start[1]));
      part.after.set(X(0), Y(0), X(tip[0]), Y(tip[1]));
      part.step.set(X(from[0]), Y(from[1]), X(tip[0]), Y(tip[1]));
      part.dots.setAttribute("d", dots);
      this.names(part, which, from, turned);
      if (which) {
        const r = X(this.m0) - X(0);
        part.arc.setAttribute("d", `M${X(start[0])},${Y(start[1])}A${r},${r} 0 0 ${this.turn > 0 ? 0 : 1} ${X(turned[0])},${Y(turned[1])}`);
        const [x, y] = this.rim(1);
        part.dial.setAttribute("transform", `translate(${X(x)},${Y(y)})`);
        part.stem.setAttribute("d", `M${X(tip[0])},${Y(tip[1])}L${X(x)},${Y(y)}`);
        part.ring.setAttribute("r", X(m) - X(0));
        this.tell(part.dial, `turned ${num(this.turn, 0)} degrees`);
      }
      part.handle.setAttribute("transform", `translate(${X(tip[0])},${Y(tip[1])})`);
      this.tell(part.handle, `turned ${num(this.turn, 0)} degrees, ${num(m / this.m0)} times as long`);
    });
    this.dots.setAttribute("d", this.trail.map(({ plane }) => plane).join(""));
    this.here(now.magnitude, now.direction);
    [now.magnitude, now.direction, Math.hypot(tip[0] - start[0], tip[1] - start[1])].forEach((value, k) => {
      this.figures[k].set(value.toFixed(2));
      this.figures[k].box.title = value.toFixed(4);
    });
  }
  tell(handle, text) {
    handle.setAttribute("aria-valuenow", Math.round(this.turn));
    handle.setAttribute("aria-valuetext", text);
  }

  names({ names }, which, from, turned) {
    const { start, tip } = this, side = this.turn >= 0 ? 1 : -1;
    const beside = (text, [x, y], [dx, dy], away) => {
      const length = Math.hypot(dx, dy) || 1;
      dress(text, { x: this.X(x) - (away * dy) / length, y: this.Y(y) - (away * dx) / length });
    };
    const half = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], between = [tip[0] - from[0], tip[1] - from[1]];
    beside(names[0], half([0, 0], start), start, -18 * side);
    beside(names[1], half([0, 0], tip), tip, 26 * side);
    names[2].style.display = (which ? Math.abs(this.turn) > 14 : norm(between) > 0.12 * this.reach) ? "" : "none";
    if (!which) return beside(names[2], half(from, tip), between, -24 * side);
    const angle = this.a0 + (this.turn * DEGREE) / 3, out = this.m0 + (this.reach * 40) / this.side;
    beside(names[2], [out * Math.cos(angle), out * Math.sin(angle)], [1, 0], 0);
    beside(names[3], this.rim(0.86), tip, 40 * side);
    beside(names[4], [0, tip[1] < 0 ? norm(tip) : -norm(tip)], [1, 0], 0);
  }

  get sentence() {
    const { start, tip } = this, m = norm(tip), pair = ([x, y]) => `(${num(x, 2)}, ${num(y, 2)})`;
    const moved = `turned ${num(this.turn, 0)}°, ${num(m / this.m0)} times as long`;
    if (!this.climb) return `Now ${moved}: ${pair(start)} + ${pair([tip[0] - start[0], tip[1] - start[1]])} = ${pair(tip)} = ${num(m, 3)} · ${pair([tip[0] / m, tip[1] / m])}.`;
    const far = Math.hypot(tip[0] - this.summit[0], tip[1] - this.summit[1]);
    if (far <= NEAR * this.reach) return `At the summit: ${moved}. One push got there too, but it had to change which way and how far together.`;
    return `Which way: turned ${num(this.turn, 0)}°. How far: ${num(m / this.m0)} times the planned way. Still ${num(far)} from the summit.`;
  }
}
