import { Frame, h, through } from "./shell.js";

const VIEWS = {
  product: async () => (await import("./product.js")).Product,
  arrow: async () => (await import("./adapters.js")).Arrow,
  codes: async () => (await import("./codes.js")).Codes,
  bits: async () => (await import("./codes.js")).Bits,
  weights: async () => (await import("./weights.js")).Weights,
  block: async () => (await import("./adapters.js")).Block,
  story: async () => (await import("./story.js")).Story,
};
const frames = new WeakMap(); // by place on the page

/** Scroll to what a link names, while the page above it is drawn, until a hand moves. */
function land(key) {
  const hands = ["wheel", "touchstart", "pointerdown", "keydown"];
  const go = () => document.querySelector(`.st-key-${CSS.escape(key)}`)?.scrollIntoView();
  const watch = new ResizeObserver(go);
  const end = () => { watch.disconnect(); for (const hand of hands) removeEventListener(hand, end, true); };
  for (const hand of hands) addEventListener(hand, end, true);
  watch.observe(document.querySelector("[data-testid=stMainBlockContainer]"));
  setTimeout(end, 8000);
}

// A page that is left, or has just come, adds no steps to the history.
const push = history.pushState.bind(history);
let left = 0, come = 0;
const leave = () => left = Date.now() + 5000;
history.pushState = (...all) => {
  const now = Date.now(), same = new URL(all[2], location).pathname === location.pathname;
  if (same && now < left) return;
  if (!same) left = 0, come = now + 2000;
  same && now < come ? history.replaceState(...all) : push(...all);
};

/** The app's pages. */
function lead(place, { pages, at }, go) {
  const line = h("nav", { popover: true, id: "pages", "aria-label": "Pages" }, pages.map(([path, title]) =>
    through(h("a", { href: `./${path}`, "aria-current": path === at && "page" }, title), () => go(path))));
  place.querySelector(".x-lead")?.remove();
  place.append(h("div", { class: "x-lead" }, h("button", { popovertarget: "pages" }, "Pages"), line));
}

export default function explorable({ parentElement, data, setStateValue, setTriggerValue }) {
  const given = data instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(data)) : data;
  let frame = frames.get(parentElement);
  if (given.pages) return void lead(parentElement, given, path => {
    if (path !== given.at) leave();
    setTriggerValue("to", path);
  });
  if (given.land) {
    if (!frame) frames.set(parentElement, {}), land(given.land);
    return;
  }
  if (!frame) frames.set(parentElement, (frame = new Frame(parentElement, VIEWS)));
  frame.receive(given, state => setStateValue("moved", state),
    setTriggerValue && (place => { leave(); setTriggerValue("door", place); }));
  // Also called when newer data overtakes a call: the view goes with its place.
  return () => setTimeout(() => {
    if (!parentElement.isConnected && frames.delete(parentElement)) frame.remove();
  });
}
