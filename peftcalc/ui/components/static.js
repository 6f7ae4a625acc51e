// The door without Streamlit: elements with data-explorable become views of the JSON inside them.
import explorable from "./explorable.js";
import { h } from "./shell.js";

const STYLE = new URL("./explorable.css", import.meta.url).href;

export function show(element, data, moved = () => {}) {
  const shadow = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  if (!shadow.querySelector("link")) shadow.append(h("link", { rel: "stylesheet", href: STYLE }));
  const mount = next => explorable({ parentElement: shadow, data: next, setStateValue: (_, state) => moved(state) });
  let remove = mount(data);
  return { update: next => { remove = mount(next); }, remove: () => remove() };
}

for (const element of document.querySelectorAll("[data-explorable]")) {
  const script = element.querySelector("script[type='application/json']");
  if (script) show(element, JSON.parse(script.textContent));
}
