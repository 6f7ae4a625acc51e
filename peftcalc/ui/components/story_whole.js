// All of it: while a hand presses, every number of a matrix moves a little; beside it what that keeps in memory.
import { matrix, whole } from "./checks.js";
import { button, figure } from "./controls.js";
import { count, h, num, s } from "./elements.js";
import { draggable } from "./hands.js";
import { pixels, plate } from "./look.js";
import { top } from "./product_maps.js";

const STEP = 0.03; // of the way that is left, a step
const KEPT = ["weights", "gradients", "first moments", "second moments"];

export default class Whole {
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
    const height = wide ? side + 12 : side + 250, y = wide ? 4 : side + 40, room = width - beside - 8;
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
    this.moved = Math.sqrt(now.reduce((sum, v, k) => sum + (v - this.W[k]) ** 2, 0) / (n * m));
    pixels(this.canvas, now, n, m, Math.max(top(this.W), top(this.to)));
    this.trained.set(count(n * m), `trained of ${count(n * m)} (100 %)`);
  }
  get picture() { return this.drawing; }
  get sentence() {
    const all = count(this.n * this.m);
    return this.steps ? `After ${this.steps} steps each of the ${all} numbers has moved, by ${num(this.moved, 2)} on average.` : `Press the matrix, and watch which of its ${all} numbers move.`;
  }
}
