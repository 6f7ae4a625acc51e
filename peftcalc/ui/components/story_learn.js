// Scenes of one matrix: all of it moves; then B and A as strips at the edges of ΔW, which they make.
import { norm, singularValues, tinyRun, tinyTask } from "./core.js";
import { button, count, draggable, figure, h, matrix, num, number, oneOf, pixels, plate, s, still, text, whole } from "./kit.js";
import Product, { Maps, top } from "./product.js";

const STEP = 0.03;
const KEPT = ["weights", "gradients", "first moments", "second moments"];

export class Whole {
  static check(data) {
    const W = matrix("W", data.W), to = matrix("to", data.to);
    if (to.n !== W.n || to.m !== W.m) throw new RangeError("W and where it goes must have one shape");
    return { n: W.n, m: W.m, W: W.flat, to: to.flat };
  }

  constructor(frame) {
    this.frame = frame;
    this.steps = 0;
    this.trained = figure("");
    this.hold = button("Press and hold to train", () => {});
    draggable(this.hold, { start: () => this.press(true), move: () => {}, end: () => this.press(false) });
    this.hold.addEventListener("keydown", event => { if (" Enter".includes(event.key)) { event.preventDefault(); this.take(1); frame.releaseSoon(); } });
    frame.bar.append(this.hold, this.trained.box);
  }

  receive(data) { Object.assign(this, data); }
  get state() { return { steps: this.steps }; }
  set state({ steps }) { this.steps = whole("steps", steps, 0, 999); }

  take(many) { this.steps = Math.min(999, this.steps + many); this.frame.draw(); }
  press(held) {
    this.held = held;
    if (!held) return this.frame.release();
    const look = () => { if (this.held && this.frame.root.isConnected) { this.take(1); requestAnimationFrame(look); } };
    look();
  }

  layout(width) {
    const { n, m } = this, wide = width >= 560, side = Math.floor(Math.min(350, wide ? 0.46 * width : width - 12)), beside = wide ? side + 56 : 0;
    const height = wide ? side + 12 : side + 320, y = wide ? 4 : side + 40, room = width - beside - 8;
    this.drawing = s("svg", { role: "group", viewBox: `0 0 ${width} ${height}`, width, height, "aria-label": `A matrix of ${n * m} numbers, all of them trained, and four bars of equal length: what that keeps in memory` });
    this.drawing.append(plate("trained", 6, 6, side, (side * n) / m, "full"), s("text", { class: "title left", x: beside, y: y + 8 }, "In memory while it trains"));
    KEPT.forEach((name, k) => {
      const top = y + 40 + k * 62, fill = k ? "fill:none;stroke-dasharray:4 4" : "fill:var(--x-full)";
      this.drawing.append(s("rect", { x: beside, y: top + 14, width: room, height: 24, rx: 4, style: `${fill};stroke:var(--x-full);stroke-width:2` }),
        s("text", { class: "left small", x: beside, y: top }, name), s("text", { class: "right small", x: beside + room, y: top }, count(n * m)));
    });
    this.canvas = h("canvas", { role: "img", "aria-label": "W: orange above zero, blue below" });
    this.canvas.style.cssText = `left:6px;top:6px;width:${side}px;height:${(side * n) / m}px;cursor:pointer;touch-action:none`;
    draggable(this.canvas, { start: () => this.press(true), move: () => {}, end: () => this.press(false) });
    this.frame.stage.replaceChildren(this.drawing, this.canvas);
  }

  paint() {
    const { n, m } = this, gone = 1 - (1 - STEP) ** this.steps, now = this.W.map((v, k) => v + gone * (this.to[k] - v));
    this.moved = now.reduce((sum, v, k) => sum + Math.abs(v - this.W[k]), 0) / (n * m);
    pixels(this.canvas, now, n, m, Math.max(top(this.W), top(this.to)));
    this.trained.set(count(n * m), `trained of ${count(n * m)} (100 %)`);
  }
  get picture() { return this.drawing; }
  get sentence() {
    const all = count(this.n * this.m);
    return this.steps ? `After ${this.steps} steps each of the ${all} numbers has moved, by ${num(this.moved, 2)} on average.` : `Press the matrix, and watch which of its ${all} numbers move.`;
  }
}

const SHOWS = { strips: [], rank: ["rank"], alpha: ["alpha"], dropout: ["dropout"] };
const LOUDEST = 2; // targets that ΔW's deepest colour stands for

export class Strips extends Product {
  static check(data) {
    const { counter } = data, n = data.W.length;
    return {
      ...Product.check(data),
      kind: oneOf("kind", data.kind, Object.keys(SHOWS)),
      T: data.target && matrix("target", data.target, n).flat,
      counter: counter && { name: text("name", counter.name), base: whole("base", counter.base, 1, 1e15), trained: counter.trained.map(v => whole("trained", v, 1, 1e15)) },
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

  /** The run at this scale and dropout: from the same start, on the same data. */
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
    }
  }
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

class Crossing extends Maps {
  layout(width) {
    const { view } = this, { kind } = view;
    this.drawing = s("svg", { role: "group", "aria-label": "B and A as strips at the left and upper edge of delta W, which their product fills" });
    this.maps = {};
    this.scaleText = s("text", { class: "sign" });
    this.chart = null;
    const height = this[kind](width, width >= 560);
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height })) this.drawing.setAttribute(name, value);
    this.mark = Object.fromEntries(Object.keys(this.maps).map(name => [name, s("rect", { style: "fill:none;stroke:var(--ink);stroke-width:2;pointer-events:none" })]));
    const above = s("svg", { class: "x-marks", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, Object.values(this.mark));
    view.frame.stage.replaceChildren(this.drawing, ...Object.values(this.maps).map(map => map.canvas), above);
  }

  crossing(x, y, c, gap = 12) {
    const { n, m, rank: r } = this.view, left = x + r * c + gap, upper = y + r * c + gap;
    this.map("B", "trained", x, upper, r * c, n * c);
    this.map("A", "trained", left, y, m * c, r * c);
    this.map("D", "sum", left, upper, m * c, n * c);
    return [left + m * c, upper + n * c];
  }
  title(text, name, x, y, width, height) {
    if (name === "A") this.drawing.append(s("text", { class: "title right", x: x - 9, y: y + height / 2 }, text));
    else if (name === "B") this.drawing.append(s("text", { class: "title", x: x + width / 2, y: y + height + 16 }, text));
    else this.drawing.append(s("text", { class: "title", x: x + width / 2, y: y + height + 16 }, text));
  }
  sign(text, x, y) { this.drawing.append(s("text", { class: "sign", x, y }, text)); }

  strips(width, wide) {
    const { n, m, rank: r } = this.view, sign = 34, c = wide ? Math.min(16, (width - 2 * sign - 40) / (3 * m + r)) : Math.min(17, (width - 30) / (m + r));
    if (!wide) {
      const small = (width - 2 * sign - 8) / (3 * m), [, floor] = this.crossing(6, 6, c), y = floor + 38;
      ["W", "D2", "S"].forEach((name, k) => {
        const x = 4 + k * (m * small + sign);
        this.map(name, ["frozen", "sum", "result"][k], x, y, m * small, n * small);
        if (k) this.sign(k === 1 ? "+" : "=", x - sign / 2, y + (n * small) / 2);
      });
      return y + n * small + 30;
    }
    const upper = 6 + r * c + 12, middle = upper + (n * c) / 2;
    this.map("W", "frozen", 6, upper, m * c, n * c);
    this.sign("+", 6 + m * c + sign / 2, middle);
    const [right, floor] = this.crossing(6 + m * c + sign, 6, c);
    this.sign("=", right + sign / 2 + 2, middle);
    this.map("S", "result", right + sign + 4, upper, m * c, n * c);
    return floor + 30;
  }

  rank(width, wide) {
    const { view } = this, { n, m, bound } = view, full = view.full, gap = 22, c = wide ? Math.min(11, (width - 3 * gap - 18) / (full + 3 * m)) : (width - 24) / (full + m);
    const side = m * c, grown = (full - view.rank) * c, [right, floor] = this.crossing(6 + grown, 6 + grown, c), upper = floor - n * c;
    const many = Object.fromEntries(["T", "E"].map((name, k) => [name, wide ? [right + gap + k * (side + gap), upper] : [6 + k * (side + gap), floor + 34]]));
    for (const [name, [x, y]] of Object.entries(many)) this.map(name, "result", x, y, side, n * c);
    const box = wide ? [right + gap, 0, width - right - gap, upper - 10] : [0, floor + n * c + 74, width, 200];
    this.chart = chart(this.drawing, ...box, { title: "What is left over of the target", across: ["rank", 0.4, 16.4, [1, 4, 7, 10, 13, 16]], up: ["share of its squares", 0, 0.55, [0, 0.25, 0.5]], show: v => `${num(100 * v)} %` });
    this.limit = this.chart.line("stroke:var(--ink);stroke-dasharray:5 4", "Eckart–Young: nothing of this rank leaves less");
    this.limit.set(bound.slice(1).concat(0), 1);
    this.limit.name(bound[2], 16.2, -2);
    this.trail = s("path", { style: `fill:none;stroke:var(--x-${view.method});stroke-width:9;stroke-linecap:round;opacity:.4` });
    this.chart.group.append(this.trail);
    this.point = this.chart.dot(`fill:var(--x-${view.method})`);
    return wide ? floor + 30 : floor + n * c + 280;
  }

  alpha(width, wide) {
    const { view } = this, { n, m, rank: r } = view, c = Math.min(17, ((wide ? 0.44 * width : width) - 26) / (m + r)), [right, floor] = this.crossing(6, 6, c);
    const box = wide ? [right + 40, 0, width - right - 40, floor + 26] : [0, floor + 44, width, 250], { steps } = view.run;
    this.chart = chart(this.drawing, ...box, { title: "The loss of a run at this volume", across: ["step", 0, steps, [0, steps / 2, steps]], up: ["squared error, of the target's", 0, 1.2, [0, 0.5, 1]] });
    this.one = this.chart.line("stroke:var(--frozen);stroke-dasharray:5 4", "α = r");
    this.here = this.chart.line(`stroke:var(--x-${view.method});stroke-width:4`);
    return Math.max(floor + 30, box[1] + box[3]);
  }

  dropout(width, wide) {
    const { view } = this, { m, rank: r } = view, c = Math.min(15, ((wide ? 0.42 * width : width) - 26) / (m + r)), [right, floor] = this.crossing(6, 40, c), { steps } = view.run;
    const left = right - m * c;
    this.drawing.append(s("text", { class: "title right", x: left - 9, y: 18 }, "input"));
    this.entries = Array.from({ length: m }, (_, j) => this.drawing.appendChild(s("circle", { class: "x-glide", cx: left + (j + 0.5) * c, cy: 18, r: Math.min(6, 0.42 * c), style: `fill:var(--x-${view.method})` })));
    const box = wide ? [right + 40, 0, width - right - 40, floor + 26] : [0, floor + 44, width, 250];
    this.chart = chart(this.drawing, ...box, { title: "The loss, dashed without dropout", across: ["step", 0, steps, [0, steps / 2, steps]], up: ["squared error, of the target's", 0, 1.2, [0, 0.5, 1]] });
    const [held, own] = ["stroke:var(--ink)", `stroke:var(--x-${view.method})`];
    this.lines = [this.chart.line(`${held};stroke-dasharray:5 4;stroke-width:2`), this.chart.line(`${own};stroke-dasharray:5 4;stroke-width:2`), this.chart.line(held, "held out"), this.chart.line(own, "what it trains on")];
    return Math.max(floor + 30, box[1] + box[3]);
  }

  drawn() {
    const { view } = this, drawn = super.drawn();
    if (!view.T) return { ...drawn, D: [view.D, Math.max(1, top(view.D))] };
    const most = top(view.T);
    if (view.kind === "alpha") drawn.D = [view.D, LOUDEST * most];
    else drawn.D = [view.D, view.fixed ? 2 * most : most];
    return { ...drawn, T: [view.T, most], E: [view.E, most] };
  }

  paint() {
    const { view } = this;
    super.paint();
    if (view.kind === "rank") {
      const { across, up } = this.chart;
      view.tried.set(view.rank, view.left);
      this.limit.show(view.open);
      this.point(view.left, view.rank);
      this.trail.setAttribute("d", [...view.tried].map(([r, v]) => `M${across(r).toFixed(1)},${up(Math.min(0.55, v)).toFixed(1)}h0`).join(""));
    } else if (view.kind === "alpha") {
      const { training } = view.ran(1, 0), { steps } = view.run;
      this.one.set(training);
      this.one.name(training[Math.round(steps / 4)], steps / 4 + steps / 8, -8);
      view.gone = this.here.set(view.now.training);
    } else if (view.fixed) {
      const { now, at } = view, plain = view.ran(1, 0), values = [plain.heldOut, plain.training, now.heldOut, now.training];
      this.lines.forEach((line, k) => line.set(k < 2 ? values[k] : values[k].slice(0, at + 1)));
      for (const k of [2, 3]) this.lines[k].name(values[k][at], Math.max(view.run.steps / 2, at), k === 2 ? -16 : 16);
      this.entries.forEach((circle, j) => { circle.style.opacity = view.mask[j] ? 1 : 0.12; });
    }
  }

  part(lit, of, n, m, r) { return "TE".includes(of) && !"DWS".includes(lit.name) ? null : super.part(lit, of, n, m, r); }
}

// ---- a chart whose lines may leave it at the top ----

function chart(parent, x, y, width, height, { title, across: [below, x0, x1, xs], up: [beside, y0, y1, ys], show = num }) {
  const left = 44, head = 42, floor = height - 40, group = s("g", { transform: `translate(${x},${y})` });
  const across = v => left + ((v - x0) * (width - left - 8)) / (x1 - x0), up = v => floor - ((v - y0) * (floor - head)) / (y1 - y0);
  parent.append(group);
  group.append(s("text", { class: "title left", x: 0, y: 8 }, title), s("path", { class: "axis", d: `M${left},${head}V${floor}H${width}` }),
    s("text", { class: "small left quiet", x: 0, y: 29 }, beside), s("text", { class: "small right quiet", x: width - 6, y: floor + 32 }, below));
  for (const v of xs) group.append(s("text", { class: "small quiet", x: across(v), y: floor + 14 }, num(v)));
  for (const v of ys) group.append(s("text", { class: "small right quiet", x: left - 7, y: up(v) }, show(v)));
  return {
    group, across, up,
    line(style, text, label = {}) {
      const path = s("path", { style: `fill:none;stroke-width:3;stroke-linejoin:round;${style}` });
      const name = s("text", { class: "small right halo", ...label }, text ?? "");
      group.append(path, name);
      return {
        set(values, from = x0) {
          let d = "", out = -1;
          for (let k = 0; k < values.length && out < 0; k++) {
            const v = values[k];
            if (!(v <= y1)) out = k;
            d += `${d ? "L" : "M"}${across(from + k).toFixed(1)},${(out < 0 ? up(v) : head - 12).toFixed(1)}`;
          }
          path.setAttribute("d", d);
          return out;
        },
        show(on) { path.style.display = name.style.display = on ? "" : "none"; },
        name(v, at, down = -12) {
          name.setAttribute("x", across(at));
          name.setAttribute("y", up(Math.min(v, y1)) + down);
        },
      };
    },
    dot(style) {
      const circle = s("circle", { r: 7, style: `stroke:var(--ground);stroke-width:2;${style}` });
      group.append(circle);
      return (v, at) => { circle.setAttribute("cx", across(at)); circle.setAttribute("cy", up(Math.min(v, y1))); };
    },
  };
}
