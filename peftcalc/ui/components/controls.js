// Controls beside a picture: they tell the view while they move, and the frame when they are let go.
import { h } from "./elements.js";

/** A slider over discrete values, every one of which works. */
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

/** One of a few, all in sight: [[value, text], …]. */
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

/** One of many, by number: its value is the place in the list. */
export function menu(label, names, change) {
  const select = h("select", {}, names.map((name, k) => h("option", { value: k }, name)));
  select.addEventListener("change", () => change());
  return {
    box: h("label", { class: "x-menu" }, h("span", {}, label), select),
    get value() { return Number(select.value); },
    set value(value) { select.value = value; },
  };
}

/** A button that does something at once. */
export function button(text, act, label) {
  const made = h("button", { type: "button", class: "x-button", "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
}

/** A large figure with its unit below: {box, set(text)}. */
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
