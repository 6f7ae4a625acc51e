// What the model does, before and now: names and texts, digits and how they are read; of a teacher, what is left of it.
import { h, s } from "./elements.js";
import { pixels } from "./look.js";

/** The last of some entries with a step, up to a step. */
export const upTo = (entries, step) => entries.findLast(entry => entry.step <= step) ?? null;

export class Samples {
  constructor(view) { this.view = view; this.kind = ""; }

  wanted() {
    const { view } = this, one = view.current;
    return view.base?.T ? "left" : view.images ? "digits" : one.samples.length ? (one.samples[0].items.some(item => String(item).includes("\n")) ? "text" : "names") : "";
  }
  /** False when what there is to show has changed its kind since the last layout. */
  fits() { return this.kind === this.wanted(); }

  layout(drawing, x, y, width, height) {
    const title = { left: "What is left to learn", digits: "Read before and now", names: "Drawn before and now", text: "Written before and now" };
    this.kind = this.wanted();
    this.now = null;
    drawing.append(s("text", { class: "title left", x, y: y + 8 }, title[this.kind] ?? ""));
    if (this.kind === "left") return this.teacher(drawing, x, y, width);
    this.box = h("div", { class: `w-samples w-${this.kind}` });
    const high = height ? height - 24 : this.kind === "digits" ? 240 : this.kind === "text" ? 320 : 300;
    this.box.style.cssText = `left:${x}px;top:${y + 24}px;width:${width}px;height:${high}px`;
    return { parts: this.kind ? [this.box] : [], height: high + 30 };
  }

  teacher(drawing, x, y, width) {
    const across = width > 300, side = across ? Math.min(200, (width - 20) / 2) : Math.min(128, width - 70);
    this.canvases = ["before", "now"].map((name, i) => {
      const canvas = h("canvas", { role: "img", "aria-label": `Teacher minus W′, ${name}` }), says = `${name}: ${i ? "W* − W′" : "W* − W"}`;
      const left = x + (across ? i * (side + 20) : 0), top = y + 26 + (across ? 0 : i * (side + 10));
      canvas.style.cssText = `left:${left}px;top:${top}px;width:${side}px;height:${side}px;outline:1px solid var(--line)`;
      const words = across ? [[says, left, top + side + 14]] : [[name, left + side + 10, top + side / 2 - 9], [says.split(": ")[1], left + side + 10, top + side / 2 + 9]];
      drawing.append(...words.map(([content, tx, ty]) => s("text", { class: "small left", x: tx, y: ty }, content)));
      return canvas;
    });
    return { parts: this.canvases, height: across ? side + 60 : 2 * side + 60 };
  }

  paint() {
    const { view } = this;
    if (this.kind === "left") this.paintTeacher();
    if (!this.kind || this.kind === "left") return;
    const of = one => upTo(one.samples, view.shown), stamp = `${view.run} ${view.method} ${view.methods.map(one => of(one)?.step).join()}`;
    if (stamp === this.now) return;
    this.now = stamp;
    const one = view.current, before = one.samples[0], now = of(one) ?? before;
    if (before) this.box.replaceChildren(...(this.kind === "digits" ? this.digits(of) : this.words(before, now)));
  }

  paintTeacher() {
    const { base, seen } = this.view, D = this.view.panel.sum, stamp = `${this.view.method} ${seen?.step} ${this.view.panel.drawn}`;
    if (!base?.T || !D || stamp === this.now) return;
    this.now = stamp;
    const before = base.T.map((value, at) => value - base.W[at]), top = Math.max(...before.map(Math.abs));
    pixels(this.canvases[0], before, base.n, base.m, top);
    pixels(this.canvases[1], base.T.map((value, at) => value - D[at]), base.n, base.m, top);
  }

  words(before, now) {
    const column = (title, look, old) => h("div", {}, h("b", {}, title), look.items.slice(0, this.kind === "text" ? 2 : 10).map((item, i) =>
      h(this.kind === "text" ? "pre" : "p", { class: old && item !== old.items[i] ? "lit" : null }, String(item))), h("p", { class: "w-said" }, look.said));
    return [column("Before", before, null), column(`${this.view.current.label}, step ${now.step}`, now, before)];
  }

  digits(of) {
    const { view } = this, { truths, pixels: values } = view.images, many = Math.min(truths.length, 10);
    const row = (title, guesses, strong) => h("tr", { class: strong ? "strong" : null }, h("th", { scope: "row" }, title), Array.from({ length: many }, (_, i) =>
      h("td", { class: guesses ? (guesses[i] === truths[i] ? "right" : "wrong") : null }, guesses ? String(guesses[i]) : "")));
    const images = row("", null), share = look => (look ? `${Math.round((100 * look.items.filter((guess, i) => guess === truths[i]).length) / truths.length)} %` : "");
    images.querySelectorAll("td").forEach((cell, i) => {
      const canvas = h("canvas", { width: 8, height: 8, role: "img", "aria-label": `a ${truths[i]}` }), image = new ImageData(8, 8);
      for (let p = 0; p < 64; p++) image.data.set([0, 1, 2].map(() => 255 - 255 * values[i * 64 + p]).concat(255), 4 * p);
      canvas.getContext("2d").putImageData(image, 0, 0);
      cell.append(canvas);
    });
    const first = view.methods[0].samples[0];
    return [h("table", {}, images, row("Before", first?.items), view.methods.filter(one => of(one)).map(one => row(one.label, of(one).items, one.name === view.method))),
      h("p", { class: "w-said" }, `Crossed out: misread. Of ${truths.length} images ${view.current.label} reads ${share(of(view.current))}.`)];
  }
}
