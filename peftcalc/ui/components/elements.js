// Elements, and numbers as text.
const SVG = "http://www.w3.org/2000/svg";

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}
/** An element of a drawing; text only ever becomes a text node, so data is never markup. */
export const s = (tag, attributes, ...children) => dressed(document.createElementNS(SVG, tag), attributes, children);
/** An element of the page. */
export const h = (tag, attributes, ...children) => dressed(document.createElement(tag), attributes, children);

/** Whether things jump instead of gliding. */
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** A number as text: a true minus, no trailing zeros. */
export const num = (value, digits = 2) => {
  const fixed = value.toFixed(digits), text = fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
  return (text === "-0" ? "0" : text).replace("-", "\u2212");
};
/** A count with separators, in the language of the page. */
export const count = value => value.toLocaleString(document.documentElement.lang || "en");
