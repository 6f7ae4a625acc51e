// The frame around every view: what Streamlit says and hears, undo, what is read out, drawing once a frame. What it asks
// of a view stands in `__init__.py`.
import { color, h, s } from "./kit.js";

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
    this.past = [];      // states before this one, as JSON
    this.unheard = [];   // states sent that no run of the script has answered yet
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
    const { default: View } = await this.views[name]();
    if (stamp !== this.stamp) return; // other data came while the module was on its way
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

  /** The visitor's own state, sent back, changes nothing; a preset or a link does. */
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

  // ---- to the server: one message when a hand lets go ----

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
    const button = (text, act) => {
      const made = h("button", { type: "button", class: "x-take" }, text);
      made.addEventListener("click", act);
      made.disabled = true;
      return made;
    };
    this.undoing = button("Undo", () => this.undo());
    this.resetting = button("Reset", () => this.reset());
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

// ---- a picture leaves the page, with colours and fonts written out ----
const PAINT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "fill-opacity",
  "paint-order", "stroke-linejoin", "font-size", "font-weight", "font-family", "text-anchor", "dominant-baseline", "font-variant-numeric", "display", "overflow"];

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
