// The visual language that all views share: the three states of a weight, the two signs of a number, arrows.
import { h, s } from "./elements.js";

/** The colour of a signed number: the ground at zero, full depth at `top`. A CSS colour that follows the theme. */
export function signed(value, top) {
  const depth = top > 0 ? Math.min(1, Math.abs(value) / top) : 0;
  return `color-mix(in srgb, var(--x-${value < 0 ? "below" : "above"}) ${Math.round(72 * depth)}%, var(--ground))`;
}

/** Write an n × m matrix into a canvas, a pixel a number, in the colours of `signed`. */
export function pixels(canvas, values, n, m, top) {
  if (canvas.width !== m || canvas.height !== n) Object.assign(canvas, { width: m, height: n });
  const style = getComputedStyle(canvas), ground = rgb(style.getPropertyValue("--st-background-color") || "#ffffff");
  const below = rgb(style.getPropertyValue("--x-below")), above = rgb(style.getPropertyValue("--x-above"));
  const image = new ImageData(m, n), out = image.data;
  for (let i = 0, at = 0; i < n * m; i++) {
    const depth = top > 0 ? Math.min(1, Math.abs(values[i]) / top) : 0, hue = values[i] < 0 ? below : above;
    for (let c = 0; c < 3; c++) out[at++] = ground[c] + (hue[c] - ground[c]) * depth;
    out[at++] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const rgb = text => {
  const hex = /^#(..)(..)(..)/.exec(text.trim());
  return hex ? hex.slice(1).map(part => parseInt(part, 16)) : (text.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map(Number);
};

/** The strip that says what the two hues mean; the depth of each matrix goes up to its own largest number. */
export const legend = () => h("span", { class: "x-legend", role: "img", "aria-label": "Blue is below zero, orange above; the deeper, the larger" },
  "below 0", h("i", {}), "above 0");

/** What lies under a weight and says its state: "frozen" (hatched grey), "trained" (the method's colour, solid), "four"
 * (frozen in sixteen steps, with a small 4), "sum" (what comes out). Args: its box in pixels, the method's name. */
export function plate(kind, x, y, width, height, method = "lora", pad = 5) {
  const box = { x: x - pad, y: y - pad, width: width + 2 * pad, height: height + 2 * pad, rx: 6 };
  const color = `var(--x-${method})`;
  if (kind === "trained") return s("rect", { ...box, style: `fill:${color};stroke:${color};stroke-width:2` });
  if (kind === "sum") return s("rect", { ...box, style: `fill:none;stroke:${color};stroke-width:1.5;stroke-dasharray:3 3` });
  const lines = [];
  for (let d = 6; d < box.width + box.height; d += 6) {
    const [x1, y1] = d < box.height ? [0, d] : [d - box.height, box.height], [x2, y2] = d < box.width ? [d, 0] : [box.width, d - box.width];
    lines.push(`M${box.x + x1},${box.y + y1}L${box.x + x2},${box.y + y2}`);
  }
  const group = s("g", {}, s("path", { class: "hatch", d: lines.join("") }), s("rect", { ...box, class: "frozen" }));
  if (kind === "four") {
    const step = box.width / 16;
    let d = `M${box.x},${box.y}`;
    for (let i = 0; i < 16; i++) d += `v${i % 2 ? 4 : -4}h${step}`;
    group.append(s("path", { class: "frozen", d }), s("text", { class: "small", x: box.x + box.width - 8, y: box.y + box.height - 9 }, "4"));
  }
  return group;
}

/** An arrow in a drawing: {set(x1, y1, x2, y2)} in its units. */
export function arrow(parent, color, { width = 4, dash, opacity } = {}) {
  const line = s("line", { stroke: color, "stroke-width": width, "stroke-linecap": "round", "stroke-dasharray": dash, opacity });
  const head = s("path", { fill: color, opacity });
  parent.append(line, head);
  return {
    set(x1, y1, x2, y2) {
      const length = Math.hypot(x2 - x1, y2 - y1), size = Math.min(3.2 * width, length), w = size * 0.5;
      line.style.display = head.style.display = length > 2 ? "" : "none";
      if (length <= 2) return;
      const ux = (x2 - x1) / length, uy = (y2 - y1) / length, bx = x2 - ux * size, by = y2 - uy * size;
      for (const [name, value] of Object.entries({ x1, y1, x2: bx, y2: by })) line.setAttribute(name, value);
      head.setAttribute("d", `M${x2},${y2}L${bx - uy * w},${by + ux * w}L${bx + uy * w},${by - ux * w}Z`);
    },
  };
}
