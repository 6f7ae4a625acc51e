// What all views share.

const SVG = "http://www.w3.org/2000/svg";

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}
/** An element of a drawing; data only ever becomes text, never markup. */
export const s = (tag, attributes, ...children) => dressed(document.createElementNS(SVG, tag), attributes, children);
export const h = (tag, attributes, ...children) => dressed(document.createElement(tag), attributes, children);

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const num = (value, digits = 2) => {
  const fixed = value.toFixed(digits), text = fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
  return (text === "-0" ? "0" : text).replace("-", "\u2212");
};
export const count = value => value.toLocaleString(document.documentElement.lang || "en");

// ---- checks of what comes from outside ----
const shown = value => String(JSON.stringify(value)).slice(0, 60);

export function number(name, value, low = -1e9, high = 1e9) {
  if (typeof value !== "number" || !(value >= low && value <= high))
    throw new RangeError(`${name} must be a number between ${low} and ${high}, got ${shown(value)}`);
  return value;
}

export function whole(name, value, low, high) {
  if (!Number.isInteger(number(name, value, low, high))) throw new RangeError(`${name} must be a whole number, got ${value}`);
  return value;
}

export function oneOf(name, value, options) {
  if (!options.includes(value)) throw new RangeError(`${name} must be one of ${options.join(", ")}, got ${shown(value)}`);
  return value;
}

export function numbers(name, value, low, high, least = -1e9, most = 1e9) {
  if (!Array.isArray(value) || value.length < low || value.length > high)
    throw new RangeError(`${name} must be a list of ${low} to ${high} numbers, got ${shown(value)}`);
  return value.map((v, i) => number(`${name}[${i}]`, v, least, most));
}

/** Rows of one length: {n, m, flat}. */
export function matrix(name, value, most = 64) {
  if (!Array.isArray(value) || value.length < 1 || value.length > most || !Array.isArray(value[0]))
    throw new RangeError(`${name} must be 1 to ${most} rows of numbers, got ${shown(value)}`);
  const n = value.length, m = value[0].length;
  return { n, m, flat: Float64Array.from(value.flatMap((row, i) => numbers(`${name}[${i}]`, row, m, m))) };
}

export function text(name, value, most = 200) {
  if (typeof value !== "string" || value.length > most) throw new RangeError(`${name} must be a text of at most ${most} characters`);
  return value;
}

export function color(name, value) {
  if (typeof value !== "string" || !/^#[0-9a-f]{6}$/i.test(value)) throw new RangeError(`${name} must be a colour, got ${shown(value)}`);
  return value;
}

// ---- the visual language: states of a weight, signs of a number ----
export function signed(value, top) {
  const depth = top > 0 ? Math.min(1, Math.abs(value) / top) : 0;
  return `color-mix(in srgb, var(--x-${value < 0 ? "below" : "above"}) ${Math.round(72 * depth)}%, var(--ground))`;
}

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

export const legend = () => h("span", { class: "x-legend", role: "img", "aria-label": "Blue is below zero, orange above; the deeper, the larger" },
  "below 0", h("i", {}), "above 0");

/** The state of a weight: frozen, trained, four (bits, frozen) or sum. */
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

// ---- controls: they tell the view while they move, and the frame when they are let go ----
export function slider(label, options, { show = String, input = () => {}, release = () => {} } = {}) {
  const output = h("output", {});
  const range = h("input", { type: "range", min: 0, max: options.length - 1, step: 1, "aria-label": label });
  const say = () => {
    output.textContent = show(control.value);
    range.setAttribute("aria-valuetext", show(control.value));
  };
  const control = {
    box: h("label", { class: "x-slider" }, h("span", {}, label), range, output),
    range,
    get value() { return options[Number(range.value)]; },
    set value(value) {
      const nearest = options.reduce((best, option, i) => (Math.abs(option - value) < Math.abs(options[best] - value) ? i : best), 0);
      range.value = nearest;
      say();
    },
    limit(most) { range.max = Math.max(0, options.filter(option => option <= most).length - 1); say(); },
  };
  range.addEventListener("input", () => { say(); input(control.value); });
  range.addEventListener("change", () => release());
  say();
  return control;
}

/** One of [[value, text], …]. */
export function choice(label, options, pick) {
  const buttons = options.map(([value, text]) => h("button", { type: "button", role: "radio", "data-value": value }, text));
  let current = options[0][0];
  const control = {
    box: h("div", { class: "x-choice", role: "radiogroup", "aria-label": label }, buttons),
    get value() { return current; },
    set value(value) {
      current = value;
      options.forEach(([option], i) => {
        buttons[i].setAttribute("aria-checked", String(option === value));
        buttons[i].tabIndex = option === value ? 0 : -1;
      });
    },
  };
  buttons.forEach((button, i) => {
    const take = to => { control.value = options[to][0]; buttons[to].focus(); pick(control.value); };
    button.addEventListener("click", () => take(i));
    button.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      take((i + step + buttons.length) % buttons.length);
    });
  });
  control.value = current;
  return control;
}

export function menu(label, names, change) {
  const select = h("select", {}, names.map((name, k) => h("option", { value: k }, name)));
  select.addEventListener("change", () => change());
  return {
    box: h("label", { class: "x-menu" }, h("span", {}, label), select),
    get value() { return Number(select.value); },
    set value(value) { select.value = value; },
  };
}

export function button(text, act, label) {
  const made = h("button", { type: "button", class: "x-button", "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
}

export function figure(label) {
  const value = h("b", {}), below = h("span", {}, label);
  return {
    box: h("div", { class: "x-number" }, value, " ", below),
    set(text, unit = label) {
      if (value.textContent !== text) value.textContent = text;
      if (below.textContent !== unit) below.textContent = unit;
    },
  };
}

// ---- hands, and the keys that do the same ----
/** `start` may return false: not here. */
export function draggable(element, { start, move, end }) {
  let held = false;
  // Chromium heeds touch-action only at a drawing's root.
  element.addEventListener("touchstart", event => { if (held) event.preventDefault(); }, { passive: false });
  element.addEventListener("pointerdown", event => {
    if (event.button || start?.(event) === false) return;
    event.preventDefault();
    held = true;
    element.setPointerCapture(event.pointerId);
    element.focus?.({ preventScroll: true });
    const stop = last => {
      held = false;
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", stop);
      element.removeEventListener("pointercancel", stop);
      if (last.type === "pointerup") move(last); // a quick finger's last move may not have come by itself
      end?.(last);
    };
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", stop);
    element.addEventListener("pointercancel", stop);
  });
}

export function place(event, element) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(element.getScreenCTM().inverse());
}

const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };

/** A number that is dragged, stepped and typed. */
export function spinnable(element, { get, set, release, soon, low, high, step = 1, pixels = 10, typing = () => {} }) {
  let from = 0, y = 0, typed = "", timer;
  const put = value => set(Math.min(high, Math.max(low, Math.round(value / step) * step)));
  const take = () => {
    clearTimeout(timer);
    const value = Number(typed.replace(",", "."));
    if (typed !== "" && typed !== "-" && Number.isFinite(value)) { put(value); soon(); }
    typed = "";
    typing("");
  };
  element.setAttribute("role", "spinbutton");
  element.setAttribute("aria-valuemin", low);
  element.setAttribute("aria-valuemax", high);
  draggable(element, {
    start: event => { from = get(); y = event.clientY; },
    move: event => put(from + ((y - event.clientY) / pixels) * step),
    end: release,
  });
  element.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey) return;
    const key = event.key, up = { ArrowUp: 1, ArrowDown: -1, "+": 1, PageUp: 10, PageDown: -10 }[key];
    if (/^[-0-9.,]$/.test(key)) {
      typed = (typed + key).slice(0, 8);
      typing(typed);
      clearTimeout(timer);
      timer = setTimeout(take, 1000);
    } else if (key === "Enter" && typed) take();
    else if (key === "Escape" && typed) { typed = ""; clearTimeout(timer); typing(""); }
    else if (key === "Backspace" && typed) { typed = typed.slice(0, -1); typing(typed); }
    else if (up) { put(get() + up * step * (event.shiftKey && Math.abs(up) === 1 ? 10 : 1)); soon(); }
    else if (key === "Home") { put(low); soon(); }
    else if (key === "End") { put(high); soon(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("blur", take);
}

/** Arrow keys, with Alt where they do something else, move the focus in a grid. */
export function roving(element, row, column, at, plain = false) {
  element.addEventListener("keydown", event => {
    if (!plain && !event.altKey && !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    if (!(event.key in STEPS)) return;
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const next = at(row + down, column + right);
    event.preventDefault();
    event.stopPropagation();
    if (!next) return;
    element.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}
