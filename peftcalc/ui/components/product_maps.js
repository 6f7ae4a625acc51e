// The product as heat maps, for more numbers than can be read: canvases over a drawing, dragged and stepped alike.
import { h, num, s } from "./elements.js";
import { draggable } from "./hands.js";
import { pixels, plate } from "./look.js";
import { bars } from "./product_spectrum.js";

const NAMES = { B: "B", A: "A", D: "ΔW", W: "W, frozen", S: "W′", T: "target", E: "left over" };
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** The largest size of a number in a list. */
export const top = values => { let most = 1e-9; for (const v of values) most = Math.max(most, Math.abs(v)); return most; };

export class Maps {
  constructor(view) {
    this.view = view;
    this.at = {};
  }

  layout(width) {
    const { view } = this, { n, m, rank: r } = view, sign = 34, title = view.frame.projector ? 34 : 28, wide = width >= 620;
    this.drawing = s("svg", { role: "group", "aria-label": `s times B times A is delta W, and W plus delta W is W prime; ${n} by ${m}, rank ${r}, as heat maps` });
    this.maps = {};
    const beside = wide && width >= 900 ? 230 : 0;
    const c = Math.min(290 / Math.max(n, m), (width - beside - 2 * sign - 90) / (Math.max(r, 2) + (wide ? 2 : 1) * m));
    const small = Math.min(wide ? 0.62 * c : c, (width - 2 * sign - 12) / (3 * m));
    const text = (content, x, y) => this.drawing.append(s("text", { class: "sign", x, y }, content));
    const middle = title + (n * c) / 2;
    this.scaleText = s("text", { class: "sign", x: 30, y: middle });
    this.drawing.append(this.scaleText);
    let x = 68, y = title;
    x = this.map("B", "trained", x, title, r * c, n * c);
    text("·", x + sign / 2, middle);
    x = this.map("A", "trained", x + sign, middle - (r * c) / 2, m * c, r * c);
    if (!wide) { x = 34; y = title + n * c + 16 + title; text("=", 14, y + (n * c) / 2); } else { text("=", x + sign / 2, middle); x += sign; }
    x = this.map("D", "sum", x, y, m * c, n * c);
    this.bars = beside ? bars(this.drawing, x + 40, title, Math.min(beside - 40, width - x - 44), n * c, view) : null;
    y += n * c + 22 + title;
    x = 6;
    for (const [name, kind, after] of [["W", "frozen", "+"], ["D2", "sum", "="], ["S", "result", ""]]) {
      x = this.map(name, kind, x, y, m * small, n * small);
      text(after, x + sign / 2, y + (n * small) / 2);
      x += sign;
    }
    const height = y + n * small + 10;
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height })) this.drawing.setAttribute(name, value);
    this.mark = Object.fromEntries(Object.keys(this.maps).map(name => [name, s("rect", { style: "fill:none;stroke:var(--ink);stroke-width:2;pointer-events:none" })]));
    const above = s("svg", { class: "x-marks", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, Object.values(this.mark));
    view.frame.stage.replaceChildren(this.drawing, ...Object.values(this.maps).map(map => map.canvas), above);
  }

  /** A canvas at x, y with its plate and title; returns where it ends. */
  map(name, kind, x, y, width, height) {
    const { view } = this, of = name[0], edit = (of === "A" || of === "B") && !view.fixed, [rows, columns] = view.size(of);
    if (kind === "result") this.drawing.append(s("rect", { class: "frozen", x: x - 4, y: y - 4, width: width + 8, height: height + 8, rx: 4 }));
    else this.drawing.append(plate(kind, x, y, width, height, view.method, 4));
    this.title(NAMES[of], name, x, y, width, height);
    const canvas = h("canvas", { tabindex: 0, role: edit ? "spinbutton" : "img", "data-spot": name, "aria-valuemin": edit ? -view.most : null, "aria-valuemax": edit ? view.most : null });
    canvas.style.cssText = `left:${x}px;top:${y}px;width:${width}px;height:${height}px;${edit ? "touch-action:none;cursor:ns-resize" : ""}`;
    this.maps[name] = { canvas, of, rows, columns, x, y, width, height, edit, name };
    this.hands(this.maps[name]);
    return x + width;
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

  /** What each map shows, and the number that its deepest colour stands for. */
  drawn() {
    const { view } = this, sum = Math.max(view.topW, top(view.S)); // one depth for the three of a sum
    return { B: [view.used.B, top(view.used.B)], A: [view.used.A, top(view.used.A)], D: [view.D, top(view.D)], D2: [view.D, sum], W: [view.W, sum], S: [view.S, sum] };
  }

  paint() {
    const { view } = this, { n, m, rank: r } = view, drawn = this.drawn();
    for (const [name, { canvas, rows, columns }] of Object.entries(this.maps)) pixels(canvas, drawn[name][0], rows, columns, drawn[name][1]);
    this.scaleText.textContent = `${num(view.scale, 2)} ·`;
    this.bars?.paint();
    this.marks(n, m, r);
    for (const { canvas, of, edit } of Object.values(this.maps)) {
      const at = this.at[of] ?? { i: 0, j: 0 }, value = num(view.value(of, at.i, at.j), 3);
      canvas.setAttribute("aria-label", `${NAMES[of]}, row ${at.i + 1}, column ${at.j + 1}${edit ? "" : `: ${value}`}`);
      if (edit) { canvas.setAttribute("aria-valuenow", view.value(of, at.i, at.j)); canvas.setAttribute("aria-valuetext", value); }
    }
  }

  /** The frames around the row, the column and the cell that is pointed at. */
  marks(n, m, r) {
    const lit = this.view.lit;
    for (const [name, map] of Object.entries(this.maps)) {
      const box = lit && this.part(lit, map.of, n, m, r), mark = this.mark[name];
      mark.style.display = box ? "" : "none";
      if (!box) continue;
      const [i, j, rows, columns] = box, cy = map.height / map.rows, cx = map.width / map.columns;
      for (const [key, value] of Object.entries({ x: map.x + j * cx - 1, y: map.y + i * cy - 1, width: columns * cx + 2, height: rows * cy + 2 })) mark.setAttribute(key, value);
    }
  }
  part({ name, i, j }, of, n, m, r) {
    if (name === of) return [i, j, 1, 1];
    if ("DWS".includes(name)) return of === "B" ? [i, 0, 1, r] : of === "A" ? [0, j, r, 1] : [i, j, 1, 1];
    if (of === "D") return name === "B" ? [i, 0, 1, m] : [0, j, n, 1];
    if (of === "A" && name === "B") return [j, 0, 1, m];
    return of === "B" && name === "A" ? [0, i, n, 1] : null;
  }
}
