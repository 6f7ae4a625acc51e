// The faces of the product: numbers, heat maps, strips at the edges of ΔW.
import { ARROWS, bars, chart, draggable, dress, num, over, pixels, plate, roving, s, sheet, signed, sized, spinnable } from "./shell.js";

const NAMES = { B: "B", A: "A", D: "ΔW", W: "W", S: "W′", T: "target", E: "left over" };
const MEANS = { W: "W, frozen", D: "ΔW, the change", S: "W′, the sum" };
const MOST = 12;

class Face {
  constructor(view) { this.view = view; }

  /** Where it is narrow (`turn`), ΔW stands on a line of its own. */
  equation(width, { c, low = c, small, sign, gap = 0, below = 0, top, title, scale, start, left, turn, beside }) {
    const { view } = this, { n, rank: r } = view, middle = top + (n * c) / 2;
    const write = (content, x, y) => this.drawing.appendChild(s("text", { class: "sign", x, y }, content));
    let x = start, y = top;
    const put = (name, kind, y, side, gap, after) => {
      const [rows, columns] = view.size(name[0]);
      this.part(name, kind, x, y, side);
      x += columns * side + sign + gap;
      if (after) write(after, x - (sign + gap) / 2, y + (rows * side) / 2);
    };
    this.scaleText = write("", scale, middle);
    put("B", "trained", y, c, gap, "·");
    this.inputs?.(x, middle - (r * c) / 2 - title - 25, c);
    put("A", "trained", middle - (r * c) / 2, c, gap, turn ? "" : "=");
    if (turn) {
      const [equals, begin, down] = turn;
      y += n * c + down + title;
      x = begin;
      write("=", equals, y + (n * low) / 2);
    }
    put("D", "sum", y, low, gap);
    y += n * low + (below ? 24 : 22) + title;
    x = left;
    for (const [name, kind, after] of [["W", "frozen", "+"], ["D2", "sum", "="], ["S", "result"]]) put(name, kind, y, small, below, after);
    const at = x - sign - below + (beside ? beside[0] : 0);
    this.bars = beside ? spectrum(this.drawing, at, y, Math.min(beside[1], width - at - 4), n * small, view) : null;
    view.trained.box.classList.toggle("x-big", Boolean(beside));
    return y + n * small + 10;
  }
}

// ---- up to nine rows and columns: numbers ----
export class Cells extends Face {
  layout(width) {
    const { view } = this, { n, m, rank: r } = view, { projector } = view.frame, [sign, title, most] = projector ? [40, 34, 34] : [32, 28, 32];
    const pad = 14, room = width - 2 * sign - 4 * pad, c = Math.floor(Math.min(most, (room - 64) / (r + 2 * m), room / (3 * m))), top = title + (view.dropout ? 30 : 0);
    const tall = Math.floor(Math.min(44, (width - 52 - sign - 3 * pad) / (r + m))), small = Math.floor((width - 70) / (3 * m));
    this.wide = c >= 26;
    this.cells = {};
    this.drawing = sheet(`s times B times A is delta W, and W plus delta W is W prime; ${n} by ${m}, rank ${r}`);
    const height = this.equation(width, { sign, title, top, ...(this.wide
      ? { c, small: c, gap: pad, below: pad, scale: pad + 20, start: pad + 64, left: pad, beside: room - 64 - (r + 2 * m) * c >= 150 && [46, 220] }
      : { c: tall, low: Math.min(tall, 36), small, gap: 8, scale: 22, start: 56, left: 6, turn: [22, 56, 20] }) });
    view.frame.stage.replaceChildren(sized(this.drawing, width, height));
  }

  part(name, kind, x, y, side) {
    const { view } = this, of = name[0], [rows, columns] = view.size(of), size = side > 30 ? "" : side < 22 ? "tiny" : "small", edit = "AB".includes(name);
    const label = edit ? `${name}, ${rows} × ${columns}` : (this.wide && MEANS[of]) || NAMES[of];
    this.drawing.append(plate(kind, x, y, columns * side - 3, rows * side - 3, view.method), s("text", { class: "title", x: x + (columns * side) / 2, y: y - 20 }, label));
    const cells = (this.cells[name] = []), at = (i, j) => (i < 0 || j < 0 || i >= rows || j >= columns ? undefined : cells[i * columns + j].element);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
      const rect = s("rect", { width: side - 3, height: side - 3, rx: 4 });
      const text = s("text", { class: side < 14 ? "none" : size, x: (side - 3) / 2, y: (side - 3) / 2 + 1 });
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

  inputs(x, y, side) {
    this.entries = [];
    if (!this.view.dropout) return;
    this.drawing.append(s("text", { class: "title right", x: x - 8, y: y + 8 }, "x"));
    for (let j = 0; j < this.view.m; j++) {
      const box = s("rect", { class: "x-glide", x: x + j * side + side / 2 - 9, y, width: 16, height: 16, rx: 8, style: `fill:var(--x-${this.view.method})` });
      this.entries.push(box);
      this.drawing.append(box);
    }
  }

  paint() {
    const { view } = this;
    this.scaleText.textContent = `${num(view.scale, 2)} ·`;
    for (const cells of Object.values(this.cells)) for (const cell of cells) this.show(cell, view.value(cell.of, cell.i, cell.j));
    this.entries.forEach((box, j) => { box.style.opacity = view.mask[j] ? 1 : 0.12; });
    this.bars?.paint();
  }

  show(cell, value) {
    const { view } = this, { element, of, i, j } = cell, text = cell.typed || num(value, Math.abs(value) >= 10 ? 1 : 2);
    if (cell.shown !== text) {
      cell.text.textContent = cell.shown = text;
      const where = `${NAMES[of]}, row ${i + 1}, column ${j + 1}`;
      if (cell.edit) { element.setAttribute("aria-valuenow", value); element.setAttribute("aria-valuetext", text); }
      element.setAttribute("aria-label", cell.edit ? where : `${where}: ${text}`);
    }
    const paint = signed(value, view.depth);
    if (cell.paint !== paint) cell.rect.style.fill = cell.paint = paint;
    const state = (view.isLit(of, i, j) ? 1 : 0) + ((of === "A" || cell.name === "D") && !view.mask[j] ? 2 : 0);
    if (cell.state !== state) {
      cell.state = state;
      element.classList.toggle("lit", state % 2 === 1);
      element.classList.toggle("out", state > 1);
    }
  }
}

// ---- more: heat maps ----
export class Maps extends Face {
  at = {};

  layout(width) {
    const { view } = this, { n, m, rank: r } = view, sign = 34, title = view.frame.projector ? 34 : 28, wide = width >= 620, beside = width >= 900 ? 230 : 0;
    const c = Math.min(290 / Math.max(n, m), (width - beside - 2 * sign - 90) / (Math.max(r, 2) + (wide ? 2 : 1) * m));
    const small = Math.min(wide ? 0.62 * c : c, (width - 2 * sign - 12) / (3 * m));
    this.begin(`s times B times A is delta W, and W plus delta W is W prime; ${n} by ${m}, rank ${r}, as heat maps`);
    this.finish(width, this.equation(width, { c, small, sign, title, top: title, scale: 30, start: 68, left: 6, turn: !wide && [14, 34, 16], beside: beside && [40, 190] }));
  }
  begin(label) {
    this.drawing = sheet(label);
    this.maps = {};
  }
  finish(width, height) {
    sized(this.drawing, width, height);
    this.mark = Object.fromEntries(Object.keys(this.maps).map(name => [name, s("rect", { class: "x-mark" })]));
    const above = sized(s("svg", { class: "x-marks", "aria-hidden": "true" }, Object.values(this.mark)), width, height);
    this.view.frame.stage.replaceChildren(this.drawing, ...Object.values(this.maps).map(map => map.canvas), above);
  }

  part(name, kind, x, y, side) {
    const [rows, columns] = this.view.size(name[0]);
    this.map(name, kind, x, y, columns * side, rows * side);
  }
  map(name, kind, x, y, width, height) {
    const { view } = this, of = name[0], edit = (of === "A" || of === "B") && !view.fixed, [rows, columns] = view.size(of);
    this.drawing.append(plate(kind, x, y, width, height, view.method, 4));
    this.title(name === "W" ? "W, frozen" : NAMES[of], name, x, y, width, height);
    const canvas = over(x, y, width, height, { class: edit ? "edit" : null, tabindex: 0, role: edit ? "spinbutton" : "img", "data-spot": name, "aria-valuemin": edit ? -view.most : null, "aria-valuemax": edit ? view.most : null });
    this.maps[name] = { canvas, of, rows, columns, x, y, width, height, edit, name };
    this.hands(this.maps[name]);
  }

  title(text, name, x, y, width) { this.drawing.append(s("text", { class: "title", x: x + Math.max(width, 16) / 2, y: y - 17 }, text)); }

  hands(map) {
    const { view } = this, { canvas, of, rows, columns, edit } = map;
    const under = event => {
      const box = canvas.getBoundingClientRect(), inside = (v, most) => Math.max(0, Math.min(most - 1, Math.floor(v)));
      return { name: of, i: inside(((event.clientY - box.top) / box.height) * rows, rows), j: inside(((event.clientX - box.left) / box.width) * columns, columns) };
    };
    const step = (lit, value) => view.set(of, lit.i, lit.j, Math.max(-view.most, Math.min(view.most, Number(value.toFixed(3)))));
    let held = null;
    canvas.addEventListener("pointermove", event => { if (!held) view.light((this.at[of] = under(event))); });
    canvas.addEventListener("pointerdown", event => { if (!edit) view.light((this.at[of] = under(event))); });
    canvas.addEventListener("pointerleave", () => { if (!held && !this.focused) view.light(null); });
    canvas.addEventListener("focus", () => { this.focused = true; view.light((this.at[of] ??= { name: of, i: 0, j: 0 })); });
    canvas.addEventListener("blur", () => { this.focused = false; view.light(null); });
    if (edit) draggable(canvas, {
      start: event => { held = { ...under(event), y: event.clientY }; held.from = view.value(of, held.i, held.j); view.light((this.at[of] = { name: of, i: held.i, j: held.j })); },
      move: event => step(held, held.from + ((held.y - event.clientY) / 60) * view.most),
      end: () => { held = null; view.frame.release(); },
    });
    canvas.addEventListener("keydown", event => {
      const lit = this.at[of] ?? { name: of, i: 0, j: 0 }, move = ARROWS[event.key];
      const by = { "+": 1, "=": 1, "-": -1, PageUp: 5, PageDown: -5 }[event.key];
      if (move) this.at[of] = { name: of, i: Math.max(0, Math.min(rows - 1, lit.i + move[0])), j: Math.max(0, Math.min(columns - 1, lit.j + move[1])) };
      else if (by && edit) { step(lit, view.value(of, lit.i, lit.j) + (by * view.most) / 20); view.frame.releaseSoon(); } else return;
      event.preventDefault();
      view.light(this.at[of]);
      view.frame.speak(view.sentence);
    });
  }

  paint() {
    const { view } = this;
    for (const { canvas, of, rows, columns } of Object.values(this.maps)) pixels(canvas, view.used[of] ?? view[of], rows, columns, view.used[of] && !view.T ? view.loud : view.depth);
    this.scaleText.textContent = `${num(view.scale, 2)} ·`;
    this.bars?.paint();
    this.marks();
    for (const { canvas, of, edit } of Object.values(this.maps)) {
      const at = this.at[of] ?? { i: 0, j: 0 }, value = num(view.value(of, at.i, at.j), 3);
      canvas.setAttribute("aria-label", `${NAMES[of]}, row ${at.i + 1}, column ${at.j + 1}${edit ? "" : `: ${value}`}`);
      if (edit) { canvas.setAttribute("aria-valuenow", view.value(of, at.i, at.j)); canvas.setAttribute("aria-valuetext", value); }
    }
  }

  marks() {
    for (const [name, map] of Object.entries(this.maps)) {
      const box = this.view.lights(map.of), mark = this.mark[name];
      mark.style.display = box ? "" : "none";
      if (!box) continue;
      const [i, j, rows, columns] = box, cy = map.height / map.rows, cx = map.width / map.columns;
      dress(mark, { x: map.x + j * cx - 1, y: map.y + i * cy - 1, width: columns * cx + 2, height: rows * cy + 2 });
    }
  }
}

// ---- in the story: strips ----
export class Crossing extends Maps {
  layout(width) {
    const { view } = this;
    this.begin("B and A as strips at the left and upper edge of delta W, which their product fills");
    this.scaleText = s("text", {});
    this.chart = null;
    this.finish(width, this[view.kind](width, width >= 560));
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
    const side = m * c, grown = (full - view.rank) * c, [right, floor] = this.crossing(6 + grown, wide ? 6 + grown : 6, c), upper = floor - n * c;
    const many = Object.fromEntries(["T", "E"].map((name, k) => [name, wide ? [right + gap + k * (side + gap), upper] : [6 + k * (side + gap), floor + 34]]));
    for (const [name, [x, y]] of Object.entries(many)) this.map(name, "result", x, y, side, n * c);
    const box = wide ? [right + gap, 0, width - right - gap, upper - 10] : [0, floor + n * c + 74, width, 200];
    this.chart = chart(this.drawing, ...box, { title: "What is left over of the target", across: ["rank", 0.4, 16.4, [1, 4, 7, 10, 13, 16]], up: ["share of its squares", 0, 0.55, [0, 0.25, 0.5]], show: v => `${num(100 * v)} %` });
    this.limit = this.chart.line("stroke:var(--ink);stroke-dasharray:5 4", "Eckart–Young: nothing of this rank leaves less");
    this.limit.set(bound.slice(1).concat(0), 1);
    this.limit.name(bound[2], 16.2, -2);
    this.trail = s("path", { class: "line been", style: `--mine:var(--x-${view.method});stroke-width:9;opacity:.4` });
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
}

// ---- singular values as bars ----
function spectrum(drawing, x, y, width, height, view) {
  const many = Math.min(MOST, view.n, view.m), floor = y + height - 16, columns = bars(drawing, x, floor, width, height - 42, many, view.method);
  for (let k = 0; k < many; k++) drawing.append(s("text", { class: "small quiet", x: x + ((k + 0.5) * width) / many, y: floor + 11 }, many > 8 && k % 4 !== 3 && k ? "" : k + 1));
  const most = s("text", { class: "small left", x, y: y + 2 });
  drawing.append(s("text", { class: "title left", x, y: y - 20 }, "Strength of ΔW's parts"), most);
  return {
    paint() {
      const values = view.spectrum(), top = values[0] || 0;
      columns(values, top);
      most.textContent = `singular values ${top > 0 ? `up to ${num(top)}` : "all zero"}`;
    },
  };
}
