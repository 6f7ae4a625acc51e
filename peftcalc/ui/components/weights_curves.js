// The loss by step of every method: thin in training, thick with marks on held-out data; a line where the rail stands.
import { num, s } from "./elements.js";

const FLOOR = 1e-6; // on a logarithmic axis, what is below counts as reached

export class Curves {
  constructor(view) { this.view = view; }

  layout(drawing, x, y, width, height) {
    const { view } = this, room = view.frame.projector ? 70 : 56;
    Object.assign(this, { x: x + 46, y: y + 26, width: width - 46 - room, height: height - 66 });
    this.ground = s("rect", { x: this.x, y: this.y, width: this.width, height: this.height, style: "fill:transparent;cursor:ew-resize;touch-action:pan-y" });
    this.title = s("text", { class: "title left", x, y: y + 8 }, "Loss");
    this.unit = s("text", { class: "small quiet left", x: x + 40, y: y + 8 }, `${view.unit}; thin: in training, thick: held out`);
    this.axes = s("g", {});
    this.line = s("line", { style: "stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3", y1: this.y, y2: this.y + this.height });
    this.under = s("text", { class: "small quiet", x: this.x + this.width / 2, y: this.y + this.height + 32 }, "step");
    this.lines = new Map();
    const group = s("g", {});
    for (const one of view.methods) {
      const made = { thin: s("path", {}), thick: s("path", {}), marks: s("g", {}), label: s("text", { class: "small left halo" }, one.label) };
      const color = `var(--x-${one.name})`;
      made.thin.style.cssText = `fill:none;stroke:${color};stroke-width:1.4`;
      made.thick.style.cssText = `fill:none;stroke:${color};stroke-width:3;stroke-dasharray:${one.dash}`;
      made.marks.style.cssText = `fill:${color}`;
      made.label.style.cssText = `fill:${color};font-weight:600`;
      group.append(made.thin, made.thick, made.marks, made.label);
      this.lines.set(one.name, made);
    }
    drawing.append(this.title, this.unit, this.axes, this.under, group, this.line, this.ground);
    this.drawn = "";
  }

  stepAt(x) { return ((x - this.x) / this.width) * this.view.steps; }
  atStep(step) { return this.x + (step / this.view.steps) * this.width; }
  get log() { return this.view.axisNow === "log"; }
  level(value) { return this.log ? Math.log10(Math.max(FLOOR, value)) : value; }
  atLoss(value) { return this.y + this.height * (1 - (this.level(value) - this.low) / (this.high - this.low || 1)); }

  /** The range of what has been told; what a diverged run adds above three times the start is left out. */
  range() {
    let low = Infinity, high = -Infinity;
    const starts = this.view.methods.map(one => one.held[0]?.[1] ?? -Infinity), limit = 3 * Math.max(...starts, 1e-9);
    for (const one of this.view.methods) for (const value of [...one.loss, ...one.held.map(entry => entry[1])])
      if (value <= limit) { const at = this.level(value); low = Math.min(low, at); high = Math.max(high, at); }
    if (!(high > low)) { low = this.log ? -1 : 0; high = low + 1; }
    if (this.log) { low = Math.max(Math.log10(FLOOR), low); high += 0.1; } else { low = low < 0.35 * high ? 0 : low; high += 0.04 * (high - low); }
    this.limit = limit;
    Object.assign(this, { low, high });
  }

  axis() {
    const { low, high } = this, marks = [], wanted = this.log ? Math.max(1, Math.ceil((high - low) / 5)) : nice((high - low) / 4);
    for (let at = Math.ceil(low / wanted - 1e-9) * wanted; at <= high + 1e-9; at += wanted) marks.push(at);
    const line = at => this.y + this.height * (1 - (at - low) / (high - low));
    const says = at => (this.log ? (at < -2 || at > 3 ? `1e${num(at, 0)}` : num(10 ** at, 3)) : num(at, wanted < 0.1 ? 2 : wanted < 1 ? 1 : 0));
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
      const start = one.held.length ? [one.held[0]] : [], held = one.held.filter(([step, value]) => step <= at && value <= this.limit);
      made.thin.setAttribute("d", path([...start, ...points], at));
      made.thick.setAttribute("d", path(one.held, at));
      made.marks.replaceChildren(...held.map(([step, value]) => s("circle", { cx: this.atStep(step), cy: this.atLoss(value), r: one.name === view.method ? 4.5 : 3.5 })));
      for (const part of [made.thin, made.thick, made.marks]) part.style.opacity = one.name === view.method ? 1 : part === made.thin ? 0.5 : 0.75;
      const last = view.lossAt(one, at), visible = at > 0 && last <= this.limit;
      made.label.style.display = visible ? "" : "none";
      if (visible) ends.push({ label: made.label, y: this.atLoss(last) });
    }
    spread(ends, view.frame.small + 3, this.y, this.y + this.height);
    const x = this.atStep(at);
    for (const { label, y } of ends) { label.setAttribute("x", x + 8); label.setAttribute("y", y); }
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    this.line.style.display = at < view.steps ? "" : "none";
  }
}

/** Labels apart from each other by `gap`, from top to bottom, inside the panel. */
function spread(ends, gap, top, bottom) {
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, i) => { end.y = Math.max(end.y, i ? ends[i - 1].y + gap : top); });
  for (let i = ends.length - 1; i >= 0; i--) ends[i].y = Math.min(ends[i].y, i < ends.length - 1 ? ends[i + 1].y - gap : bottom);
}

const nice = step => { const ten = 10 ** Math.floor(Math.log10(step)); return [1, 2, 5, 10].find(part => part * ten >= step) * ten; };
