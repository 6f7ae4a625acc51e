// A picture leaves the page: SVG and PNG, with colours and fonts written out and no link to the page.
import { h, s } from "./elements.js";

const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "fill-opacity",
  "paint-order", "stroke-linejoin", "font-size", "font-weight", "font-family", "text-anchor", "dominant-baseline", "font-variant-numeric", "display", "overflow"];

/** The drawing as a file of its own; canvases that lie over it in the stage come along as images. */
export function asSvg({ view, stage }) {
  const drawing = view.picture, copy = drawing.cloneNode(true);
  const from = [drawing, ...drawing.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of PAINT) to[i].setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "style", "tabindex", "data-spot"]) to[i].removeAttribute(name);
  });
  const { x, y, width, height } = drawing.viewBox.baseVal, edge = drawing.getBoundingClientRect();
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
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
  const button = (text, act) => {
    const made = h("button", { type: "button", class: "x-take", "aria-label": `Take this picture as ${text}` }, text);
    made.addEventListener("click", act);
    return made;
  };
  return [
    button("PNG", async () => save(await asPng(frame), "png")),
    button("SVG", () => save(new Blob([asSvg(frame)], { type: "image/svg+xml" }), "svg")),
  ];
}
