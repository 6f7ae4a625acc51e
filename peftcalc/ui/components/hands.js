// Hands on a picture: dragging with mouse, pen or finger, and the keys that do the same.

/** Follow a pointer from where it goes down until it lets go. `start` may return false: not here. */
export function draggable(element, { start, move, end }) {
  let held = false;
  // Chromium heeds touch-action inside a drawing only at its root: without this a finger scrolls the page instead.
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

/** Where a pointer is, in the units of an svg element or a group in it. */
export function place(event, element) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(element.getScreenCTM().inverse());
}

const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };

/** A number that is dragged up and down, stepped and typed: role spinbutton, one hand, one verb.
 *
 * Up and Down step it, with Shift by ten; Page Up and Page Down by ten; Home and End go to its ends; digits, minus and
 * point are typed in, Enter or a rest of a second takes them, Escape forgets them.
 * Args: get(), set(value), release(), low, high, step, pixels (that one step takes), typing(text) shows what is typed.
 */
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

/** Alt and an arrow key, or an arrow key alone where those do nothing else, move the focus in a grid of elements, of
 * which one is in the order of Tab. `at(row, column)` returns the element there, or undefined beyond the edge. */
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
