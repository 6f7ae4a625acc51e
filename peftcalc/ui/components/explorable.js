// Called on every run of the script and every change of theme.
import { Frame, h } from "./shell.js";

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

/** Scroll to what a link names, and stay there while the page above it is drawn, until a hand moves. */
function land(key) {
  const hands = ["wheel", "touchstart", "pointerdown", "keydown"];
  const go = () => document.querySelector(`.st-key-${CSS.escape(key)}`)?.scrollIntoView();
  const watch = new ResizeObserver(go);
  const end = () => { watch.disconnect(); for (const hand of hands) removeEventListener(hand, end, true); };
  for (const hand of hands) addEventListener(hand, end, true);
  watch.observe(document.querySelector("[data-testid=stMainBlockContainer]"));
  setTimeout(end, 8000);
}

/** The app's pages; a plain press asks the server for one, and loads nothing anew. */
function lead(place, { pages, at, projector }, go) {
  const line = h("nav", { popover: true, id: "pages", "aria-label": "Pages" }, pages.map(([path, title]) =>
    h("a", { href: `./${path}`, "data-at": path, "aria-current": path === at && "page" }, title)));
  line.onclick = event => {
    const path = event.target.dataset.at;
    if (path === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(path);
  };
  const shown = h("div", { class: `x-lead${projector ? " projector" : ""}` }, h("button", { popovertarget: "pages" }, "Pages"), line);
  place.querySelector(".x-lead")?.remove();
  place.append(shown);
}

export default function explorable({ parentElement, data, setStateValue, setTriggerValue }) {
  const given = data instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(data)) : data;
  let frame = frames.get(parentElement);
  if (given.pages) return void lead(parentElement, given, path => setTriggerValue("to", path));
  if (given.land) {
    if (!frame) frames.set(parentElement, {}), land(given.land);
    return;
  }
  if (!frame) frames.set(parentElement, (frame = new Frame(parentElement, VIEWS)));
  frame.receive(given, state => setStateValue("moved", state),
    setTriggerValue && (place => setTriggerValue("door", place)));
  // Also called when newer data overtakes a call: the view goes with its place.
  return () => setTimeout(() => {
    if (!parentElement.isConnected && frames.delete(parentElement)) frame.remove();
  });
}
