// One matrix while it learns: W + s · B A = W′ as heat maps, the singular values of ΔW, and its rows by turn and length.
import { product } from "./core.js";
import { h, num, s } from "./elements.js";
import { pixels, plate } from "./look.js";

const BARS = 12;
const most = values => { let top = 0; for (const value of values) top = Math.max(top, Math.abs(value)); return top; };

export class Panel {
  constructor(view) { this.view = view; this.tops = new WeakMap(); }

  layout(drawing, x, y, width, height) {
    const { view } = this, seen = view.seen, full = view.method === "full", r = seen?.r ?? 0, four = view.method.startsWith("q");
    this.key = `${view.method} ${seen?.matrix} ${r}`;
    const strip = full ? 0 : Math.max(7, Math.min(26, 2 * r)), sign = 26;
    const side = Math.min(146, height / 2, (width - 2 * sign - strip - 30) / 3), rows = seen ? Math.min(1, seen.n / seen.m) : 1;
    const high = side * rows, top = y + 26 + (full ? 0 : strip + 10);
    this.canvases = {};
    const words = (content, cx, cy, kind = "title") => { const made = s("text", { class: kind, x: cx, y: cy }, content); drawing.append(made); return made; };
    const map = (name, kind, left, upper, w, hi) => {
      drawing.append(plate(kind, left, upper, w, hi, view.method, 3));
      const canvas = h("canvas", { role: "img", "aria-label": name });
      canvas.style.cssText = `left:${left}px;top:${upper}px;width:${w}px;height:${hi}px`;
      canvas.addEventListener("pointermove", event => this.point(Math.floor((event.offsetY / hi) * (this.view.seen?.n ?? 1))));
      canvas.addEventListener("pointerleave", () => this.point(null));
      this.canvases[name] = canvas;
      return left + w;
    };
    let at = x + 4;
    words(four ? "W, 4 bits" : full ? "W before" : "W, frozen", at + side / 2, y + 8);
    at = map("W", four ? "four" : "frozen", at, top, side, high);
    words("+", at + sign / 2, top + high / 2, "sign");
    at += sign;
    if (!full) {
      words("B", at + strip / 2, top - 12, "small");
      at = map("B", "trained", at, top, strip, high) + 9;
      words("A", at + side + 11, top - strip / 2 - 9, "small");
      map("A", "trained", at, top - strip - 9, side, strip);
    }
    words(full ? "ΔW, trained" : "ΔW = s · B A", at + side / 2, y + 8);
    at = map("D", full ? "trained" : "sum", at, top, side, high);
    words("=", at + sign / 2, top + high / 2, "sign");
    at += sign;
    words(seen?.gain ? "W′, of length m" : "W′", at + side / 2, y + 8);
    at = map("S", "sum", at, top, side, high);
    if (seen?.gain) { words("m", at + 12.5, top - 12, "small"); map("m", "trained", at + 9, top, 7, high); }
    const floor = y + height - 22, lower = top + high + 40, half = Math.round(width * 0.4);
    this.bars(drawing, x + 4, lower, half - 24, floor, words);
    this.plane(drawing, x + half + 34, lower, width - half - 44, floor, words);
    this.drawn = null;
    return Object.values(this.canvases);
  }

  bars(drawing, x, y, width, floor, words) {
    const step = width / BARS;
    words("Singular values of W′ − W", x, y - 16, "small title left");
    this.columns = Array.from({ length: BARS }, (_, k) => s("rect", { x: x + k * step + 1, width: Math.max(2, step - 3), style: `fill:var(--x-${this.view.method})` }));
    drawing.append(s("path", { class: "axis", d: `M${x},${floor}h${width}` }), ...this.columns);
    this.largest = words("", x, floor + 12, "small quiet left");
    Object.assign(this, { floor, room: floor - y });
  }

  plane(drawing, x, y, width, floor, words) {
    Object.assign(this, { px: x, py: y, pw: width, ph: floor - y });
    words("Rows: longer ↑, turned →", x - 4, y - 16, "small title left");
    drawing.append(s("path", { class: "axis", d: `M${x},${y}v${floor - y}h${width}M${x},${(y + floor) / 2}h${width}` }));
    this.dots = Array.from({ length: 64 }, () => s("circle", { r: 3, style: `fill:var(--x-${this.view.method});fill-opacity:.65` }));
    this.ends = [words("", x - 4, y + 2, "small right quiet"), words("", x - 4, floor - 2, "small right quiet"), words("", x + width, floor + 12, "small right quiet")];
    this.mark = s("circle", { r: 7, style: "fill:none;stroke:var(--ink);stroke-width:2;display:none" });
    drawing.append(...this.dots, this.mark);
  }

  /** The largest of a method's looks, so that what grows is seen to grow. */
  top(one, matrix) {
    const known = this.tops.get(one);
    if (known?.count === one.looks.length && known.matrix === matrix) return known;
    const mine = one.looks.filter(look => look.matrix === matrix), made = { count: one.looks.length, matrix, D: 1e-12, value: 1e-12 };
    for (const look of mine) { made.D = Math.max(made.D, most(this.update(look))); made.value = Math.max(made.value, look.spectrum[0] ?? 0); }
    this.tops.set(one, made);
    return made;
  }
  update(look) { return (look.update ??= look.D ?? product(look.B, look.A, look.n, look.r, look.m, look.scale)); }

  /** How far rows go in any method's last look: one pair of axes for all. */
  reach() {
    let turn = 1e-9, length = 1e-9;
    for (const one of this.view.methods) for (const look of one.looks.slice(-1)) { turn = Math.max(turn, most(look.turns)); length = Math.max(length, most(look.lengths)); }
    return { turn, length };
  }

  paint() {
    const { view } = this, seen = view.seen, base = view.base;
    if (!seen) return;
    if (this.key !== `${view.method} ${seen.matrix} ${seen.r ?? 0}`) { view.layout(view.frame.width); }
    const stamp = `${view.run} ${view.method} ${seen.matrix} ${seen.step} ${view.current.looks.length} ${Boolean(base)} ${getComputedStyle(view.frame.root).color}`;
    if (stamp === this.drawn) return;
    this.drawn = stamp;
    const { n, m } = seen, D = this.update(seen), top = this.top(view.current, seen.matrix), put = (name, values, rows, columns, up) => this.canvases[name] && pixels(this.canvases[name], values, rows, columns, up);
    put("D", D, n, m, top.D);
    if (seen.B) { put("B", seen.B, n, seen.r, most(seen.B)); put("A", seen.A, seen.r, m, most(seen.A)); }
    if (base) {
      const high = most(base.W);
      this.sum = base.W.map((value, at) => (seen.gain ? seen.gain[Math.floor(at / m)] : 1) * (value + D[at]));
      put("W", base.W, n, m, high);
      put("S", this.sum, n, m, high);
    }
    if (seen.gain) { const off = seen.lengths; put("m", off, n, 1, Math.max(1e-9, most(off))); }
    for (const [name, canvas] of Object.entries(this.canvases)) canvas.setAttribute("aria-label", `${{ D: "ΔW", S: "W′", m: "change of each row's length" }[name] ?? name} of ${seen.matrix} after step ${seen.step}`);
    this.columns.forEach((column, k) => {
      const high = Math.max(0, ((seen.spectrum[k] ?? 0) / top.value) * this.room);
      column.setAttribute("height", high);
      column.setAttribute("y", this.floor - high);
    });
    this.largest.textContent = seen.spectrum[0] ? `largest ${num(seen.spectrum[0], 3)}` : "all zero";
    this.scatter(seen);
  }

  scatter(seen) {
    const { turn, length } = this.reach();
    this.dots.forEach((dot, i) => {
      dot.style.display = i < seen.n ? "" : "none";
      if (i >= seen.n) return;
      dot.setAttribute("cx", this.px + Math.min(1, seen.turns[i] / turn) * this.pw);
      dot.setAttribute("cy", this.py + this.ph * (0.5 - 0.5 * Math.max(-1, Math.min(1, seen.lengths[i] / length))));
    });
    [`+${num(100 * length, 0)} %`, `${num(-100 * length, 0)} %`, `1 − cos = ${num(turn, turn < 0.01 ? 4 : 2)}`].forEach((words, i) => { this.ends[i].textContent = words; });
  }

  point(row) {
    const dot = row === null ? null : this.dots[row], seen = this.view.seen;
    this.mark.style.display = dot && seen ? "" : "none";
    if (!dot || !seen) return;
    for (const name of ["cx", "cy"]) this.mark.setAttribute(name, dot.getAttribute(name));
    this.view.frame.said.textContent = `Row ${row + 1}: turned by ${num(seen.turns[row], 4)} (1 − cos), ${num(100 * Math.abs(seen.lengths[row]), 1)} % ${seen.lengths[row] < 0 ? "shorter" : "longer"}.`;
  }
}
