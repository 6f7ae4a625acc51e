// What all views share, and the frame around each, which says in `__init__.py` what it asks of one.

const SVG = "http://www.w3.org/2000/svg";

export function dress(element, attributes, ...children) {
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}
/** An element of a drawing; data only ever becomes text, never markup. */
export const s = (tag, attributes, ...children) => dress(document.createElementNS(SVG, tag), attributes, ...children);
export const h = (tag, attributes, ...children) => dress(document.createElement(tag), attributes, ...children);

export const sized = (drawing, width, height) => dress(drawing, { viewBox: height && `0 0 ${width} ${height}`, width, height });
export const sheet = (label, width, height) => sized(s("svg", { role: "group", "aria-label": label }), width, height);

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const num = (value, digits = 2) => {
  const fixed = value.toFixed(digits), text = fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
  return (text === "-0" ? "0" : text).replace("-", "\u2212");
};
export const count = value => value.toLocaleString(document.documentElement.lang || "en");
export const ADAPTERS = ["lora", "dora", "qlora", "qdora"];

export const top = values => { let most = 1e-9; for (const v of values) most = Math.max(most, Math.abs(v)); return most; };

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

/** The fields of `data`, each through its check: {name: [check, ...limits]}. */
export const checked = (data, checks) =>
  Object.fromEntries(Object.entries(checks).map(([name, [check, ...limits]]) => [name, check(name, data[name], ...limits)]));

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

export function signed(value, top) {
  const depth = top > 0 ? Math.min(1, Math.abs(value) / top) : 0;
  return `color-mix(in srgb, var(--x-${value < 0 ? "below" : "above"}) ${Math.round(72 * depth)}%, var(--ground))`;
}

export function pixels(canvas, values, n, m, top) {
  if (canvas.width !== m || canvas.height !== n) Object.assign(canvas, { width: m, height: n });
  const style = getComputedStyle(canvas), ground = rgb(style.getPropertyValue("--st-background-color") || "#ffffff");
  const [below, above] = ["below", "above"].map(name => rgb(style.getPropertyValue(`--x-${name}`)).map(c => (ground[0] < 99 ? c + (255 - c) / 4 : c)));
  const image = new ImageData(m, n), out = image.data;
  for (let i = 0, at = 0; i < n * m; i++) {
    const depth = top > 0 ? Math.min(1, Math.abs(values[i]) / top) ** 0.7 : 0, hue = values[i] < 0 ? below : above;
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

export function over(x, y, width, height, attributes) {
  const canvas = h("canvas", { role: "img", ...attributes });
  Object.assign(canvas.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  return canvas;
}

/** The state of a weight: frozen, trained, four (bits, frozen), sum or result. */
export function plate(kind, x, y, width, height, method = "lora", pad = 5) {
  const box = { x: x - pad, y: y - pad, width: width + 2 * pad, height: height + 2 * pad, rx: 6 };
  const color = `var(--x-${method})`;
  if (kind === "trained") return s("rect", { ...box, style: `fill:${color};stroke:${color};stroke-width:2` });
  if (kind === "result") return s("rect", { ...box, class: "frozen" });
  if (kind === "sum") return s("rect", { ...box, class: "line", style: `stroke:${color}`, "stroke-dasharray": "3 3" });
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
      dress(line, { x1, y1, x2: bx, y2: by });
      head.setAttribute("d", `M${x2},${y2}L${bx - uy * w},${by + ux * w}L${bx + uy * w},${by - ux * w}Z`);
    },
  };
}

/** Bars on a floor; returns what sets their values. */
export function bars(parent, x, floor, width, room, many, method) {
  const step = width / many, columns = Array.from({ length: many }, (_, k) => s("rect", { x: x + k * step + 1, width: Math.max(2, step - 3), style: `fill:var(--x-${method})` }));
  parent.append(s("path", { class: "axis", d: `M${x},${floor}h${width}` }), ...columns);
  return (values, most) => columns.forEach((column, k) => {
    const height = most > 0 ? Math.max(0, ((values[k] ?? 0) / most) * room) : 0;
    dress(column, { height, y: floor - height });
  });
}

/** A chart whose lines may leave it at the top. */
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
      const path = s("path", { class: "line", "stroke-width": 3, style });
      const name = s("text", { class: "small right halo", ...label }, text ?? "");
      group.append(path, name);
      return {
        set(values, from = x0, by = 1) {
          let d = "", out = -1;
          for (let k = 0; k < values.length && out < 0; k++) {
            const v = values[k];
            if (!(v <= y1)) out = k;
            d += `${d ? "L" : "M"}${across(from + k * by).toFixed(1)},${(out < 0 ? up(v) : head - 12).toFixed(1)}`;
          }
          path.setAttribute("d", d);
          return out;
        },
        show(on) { path.style.display = name.style.display = on ? "" : "none"; },
        name(v, at, down = -12) {
          dress(name, { x: across(at), y: up(Math.min(v, y1)) + down });
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

export function button(text, act, label, kind = "x-button") {
  const made = h("button", { type: "button", class: kind, "aria-label": label }, text);
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

/** A click, Enter or the space bar. */
export function press(element, act) {
  element.addEventListener("click", act);
  element.addEventListener("keydown", event => { if (" Enter".includes(event.key)) { event.preventDefault(); act(); } });
}

/** A link that is followed without loading anything anew, unless a new tab is asked for. */
export function through(link, act) {
  link.addEventListener("click", event => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || act(event) === false) return;
    event.preventDefault();
  });
  return link;
}

/** Pointer or focus on an element, and off it. */
export function pointed(element, look) {
  for (const [on, off] of [["pointerenter", "pointerleave"], ["focus", "blur"]]) {
    element.addEventListener(on, () => look(true));
    element.addEventListener(off, () => look(false));
  }
}

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
      if (last.type === "pointerup") move(last); // a quick finger's last move
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

export const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

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
    if (!(event.key in ARROWS)) return;
    const [down, right] = ARROWS[event.key], next = at(row + down, column + right);
    event.preventDefault();
    event.stopPropagation();
    if (!next) return;
    element.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}

const KEPT = 64;

const packed = state => JSON.stringify(state, (_, value) => (typeof value === "number" ? Number(value.toFixed(6)) : value));

export class Frame {
  constructor(parent, views) {
    this.views = views;
    this.bar = h("div", { class: "x-bar" });
    this.stage = h("div", { class: "x-stage" });
    this.said = h("p", { class: "x-say" });
    this.foot = h("div", { class: "x-foot" }, this.said);
    this.spoken = h("div", { class: "x-spoken", role: "status", "aria-live": "polite" });
    this.fault = h("p", { class: "x-fault", role: "alert" });
    this.root = h("div", { class: "x", lang: document.documentElement.lang || "en" },
      this.bar, this.stage, this.foot, this.spoken, this.fault);
    parent.append(this.root);
    this.past = [];      // as JSON
    this.unheard = [];   // states sent, not yet answered
    this.times = [];     // in milliseconds
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.stage);
    this.root.addEventListener("keydown", event => this.keys(event));
  }

  remove() {
    this.view?.remove?.();
    this.sizes.disconnect();
    this.root.remove();
  }

  async receive(data, tell, leave) {
    this.tell = tell;
    this.leave = leave;
    const { state = {}, view, colors, projector, ...rest } = data ?? {};
    const stamp = JSON.stringify([view, rest]), wanted = JSON.stringify(state);
    try {
      for (const [name, value] of Object.entries(colors ?? {})) this.root.style.setProperty(`--x-${name.replace(/\W/g, "")}`, color(name, value));
      if (Boolean(projector) !== this.root.classList.contains("projector")) {
        this.root.classList.toggle("projector", Boolean(projector));
        this.width = 0;
        this.resize();
      }
      if (stamp !== this.stamp && this.view?.more?.(rest)) {
        this.stamp = stamp;
        this.follow(state, wanted);
      } else if (stamp !== this.stamp) await this.renew(view, rest, stamp, state, wanted);
      else this.follow(state, wanted);
      this.draw(); // also after a change of theme
    } catch (error) {
      this.fault.textContent = error.message;
    }
  }

  async renew(name, data, stamp, state, wanted) {
    this.stamp = stamp;
    if (!Object.hasOwn(this.views, name)) throw new RangeError(`there is no view ${String(name).slice(0, 40)}`);
    const View = await this.views[name]();
    if (stamp !== this.stamp) return; // other data came meanwhile
    const checked = View.check(data);
    if (!this.view) {
      this.view = new View(this);
      this.foot.append(this.tools(name));
    }
    this.fault.textContent = "";
    this.view.receive(checked);
    this.start = packed(this.view.state); // what Reset returns to
    this.past = [];
    this.unheard = [];
    this.heard = wanted;
    this.enter(state);
    this.now = packed(this.view.state);
    this.width = 0;
    this.resize();
    this.root.dataset.ready = name;
  }

  /** The visitor's own state, sent back, changes nothing. */
  follow(state, wanted) {
    if (!this.view || wanted === this.heard) return;
    this.heard = wanted;
    const answered = this.unheard.lastIndexOf(wanted);
    if (answered >= 0) {
      this.unheard.splice(0, answered + 1);
      return;
    }
    this.past.push(this.now);
    this.enter(state);
    this.now = packed(this.view.state);
    this.relay();
  }

  enter(state) {
    if (Object.keys(state).length === 0 && this.past.length === 0) return;
    try {
      this.view.state = { ...JSON.parse(this.start), ...state };
    } catch (error) {
      this.view.state = JSON.parse(this.start);
      this.fault.textContent = error.message;
    }
  }

  release() {
    const now = packed(this.view.state);
    this.draw();
    if (now === this.now) return;
    this.past = [...this.past.slice(-KEPT), this.now];
    this.now = now;
    this.send();
  }

  releaseSoon(after = 600) {
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.release(), after);
  }

  send() {
    const start = JSON.parse(this.start);
    const moved = Object.fromEntries(Object.entries(JSON.parse(this.now))
      .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(start[name])));
    this.unheard = [...this.unheard.slice(-KEPT), JSON.stringify(moved)];
    this.undoing.disabled = this.past.length === 0;
    this.resetting.disabled = this.now === this.start;
    this.speak(this.view.sentence);
    this.tell?.(moved);
  }

  go(json) {
    this.view.state = JSON.parse(json);
    this.now = json;
    this.relay();
    this.send();
  }
  undo() { if (this.past.length) this.go(this.past.pop()); }
  reset() {
    if (this.now === this.start) return;
    this.past.push(this.now);
    this.go(this.start);
  }

  keys(event) {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.shiftKey) return;
    event.preventDefault();
    this.undo();
  }

  tools(name) {
    this.undoing = button("Undo", () => this.undo(), null, "x-take");
    this.resetting = button("Reset", () => this.reset(), null, "x-take");
    this.undoing.disabled = this.resetting.disabled = true;
    return h("div", { class: "x-tools" }, this.undoing, this.resetting, takeButtons(this, name));
  }

  get projector() { return this.root.classList.contains("projector"); }
  get small() { return this.projector ? 16 : 12; }

  resize() {
    const width = Math.floor(this.stage.clientWidth);
    if (!this.view || width < 40 || width === this.width) return;
    this.width = width;
    this.relay();
  }

  relay() {
    if (!this.width) return;
    const held = this.root.getRootNode().activeElement?.dataset?.spot;
    this.view.layout(this.width);
    this.paint();
    if (held) this.spot(held)?.focus({ preventScroll: true });
  }

  spot(name) { return this.stage.querySelector(`[data-spot="${CSS.escape(name)}"]`); }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.waiting = false;
    if (!this.view || !this.width) return;
    const began = performance.now();
    this.view.paint();
    if (this.said.textContent !== this.view.sentence) this.said.textContent = this.view.sentence;
    this.times.push(performance.now() - began);
    if (this.times.length > 600) this.times.shift();
  }

  speak(text) {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => { this.spoken.textContent = text; }, 400);
  }
}

const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "fill-opacity",
  "paint-order", "stroke-linejoin", "font-size", "font-weight", "font-family", "text-anchor", "dominant-baseline", "font-variant-numeric", "display", "overflow"];

export function asSvg({ view, stage }) {
  const { drawing } = view, copy = drawing.cloneNode(true);
  const from = [drawing, ...drawing.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of PAINT) to[i].setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "style", "tabindex", "data-spot"]) to[i].removeAttribute(name);
  });
  const { x, y, width, height } = drawing.viewBox.baseVal, edge = drawing.getBoundingClientRect();
  dress(copy, { width, height });
  const ground = getComputedStyle(drawing).getPropertyValue("--st-background-color").trim() || "#ffffff";
  copy.prepend(s("rect", { x, y, width, height, fill: ground }));
  for (const canvas of stage.querySelectorAll("canvas")) {
    const box = canvas.getBoundingClientRect(), scale = width / edge.width;
    copy.append(s("image", { href: canvas.toDataURL(), x: x + (box.left - edge.left) * scale, y: y + (box.top - edge.top) * scale,
      width: box.width * scale, height: box.height * scale, style: "image-rendering:pixelated" }));
  }
  return new XMLSerializer().serializeToString(copy);
}

export async function asPng(frame, scale = 3) {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(asSvg(frame));
  await image.decode();
  const canvas = h("canvas", { width: image.width * scale, height: image.height * scale });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise(resolve => canvas.toBlob(resolve, "image/png"));
}

export function takeButtons(frame, name) {
  const save = (blob, ending) => {
    const link = h("a", { href: URL.createObjectURL(blob), download: `${name}.${ending}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const take = (text, act) => button(text, act, `Take this picture as ${text}`, "x-take");
  return [
    take("PNG", async () => save(await asPng(frame), "png")),
    take("SVG", () => save(new Blob([asSvg(frame)], { type: "image/svg+xml" }), "svg")),
  ];
}
