// The door without Streamlit, for documentation and browser tests: every element with the attribute data-explorable
// becomes a view, of the JSON in the script element inside it. `docs` pages and `static.html` show how.
import explorable from "./explorable.js";

const STYLE = new URL("./explorable.css", import.meta.url).href;

/** Show a view in an element. `moved` is called once whenever a hand lets go. Returns what updates or removes it. */
export function show(element, data, moved = () => {}) {
  const shadow = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  if (!shadow.querySelector("link")) {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = STYLE;
    shadow.append(link);
  }
  const mount = next => explorable({ parentElement: shadow, data: next, setStateValue: (_, state) => moved(state) });
  let remove = mount(data);
  return { update: next => { remove = mount(next); }, remove: () => remove() };
}

for (const element of document.querySelectorAll("[data-explorable]")) {
  const script = element.querySelector("script[type='application/json']");
  if (script) show(element, JSON.parse(script.textContent));
}
