// The one chart of the story's scenes: a frame with axes, and lines that may leave it at the top.
import { num, s } from "./elements.js";

/** At x, y, so wide and high. Args: title, across and up as [name, low, high, ticks], both linear. Returns
 * {across(v), up(v), line(style, label), dot(style)}, which draw in its units. */
export function chart(parent, x, y, width, height, { title, across: [below, x0, x1, xs], up: [beside, y0, y1, ys], show = num }) {
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
        /** Returns the place at which the line leaves the chart, or −1. */
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
