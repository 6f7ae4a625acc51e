// The product as numbers: every cell is a number that can be read, and those of B and A dragged, stepped and typed.
import { num, s } from "./elements.js";
import { roving, spinnable } from "./hands.js";
import { plate, signed } from "./look.js";
import { bars } from "./product_spectrum.js";

const NAMES = { D: "ΔW", S: "W′" };

export class Cells {
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

  /** The input's entries above A, of which dropout leaves some out. */
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
      const where = `${NAMES[of] ?? of}, row ${i + 1}, column ${j + 1}`;
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
