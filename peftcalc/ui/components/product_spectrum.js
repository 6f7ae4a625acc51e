// The singular values of ΔW as bars: as many as the rank, and then none.
import { num, s } from "./elements.js";

const MOST = 12;

/** Bars in a drawing, at x, y, so wide and high; `paint` puts the values in. */
export function bars(drawing, x, y, width, height, view) {
  const many = Math.min(MOST, view.n, view.m), step = width / many, floor = y + height - 16, room = height - 42;
  const columns = Array.from({ length: many }, (_, k) => s("rect", { x: x + k * step + 1, width: Math.max(2, step - 3), style: `fill:var(--x-${view.method})` }));
  const marks = columns.map((_, k) => s("text", { class: "small quiet", x: x + (k + 0.5) * step, y: floor + 11 }, many > 8 && k % 4 !== 3 && k ? "" : String(k + 1)));
  const most = s("text", { class: "small left", x, y: y + 2 });
  drawing.append(s("text", { class: "title left", x, y: y - 20 }, "Singular values of ΔW"), s("path", { class: "axis", d: `M${x},${floor}h${width}` }), ...columns, ...marks, most);
  return {
    paint() {
      const values = view.spectrum(), top = values[0] || 0;
      columns.forEach((column, k) => {
        const high = top > 0 ? Math.max(0, ((values[k] ?? 0) / top) * room) : 0;
        column.setAttribute("height", high);
        column.setAttribute("y", floor - high);
      });
      most.textContent = top > 0 ? `largest ${num(top, 2)}` : "all zero";
    },
  };
}
