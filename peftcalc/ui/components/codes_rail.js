// The steps that quantize a block, a row each, with the numbers of the weights around the chosen one: all are filled, one
// is lit and told in a sentence. `quant.steps.Steps`
import { button } from "./controls.js";
import { normalised, packed, TOP } from "./core.js";
import { h, num } from "./elements.js";

export const NAMES = { int8: "int8", int4: "int4", nf4: "NF4", fp4: "FP4", mxfp4: "MXFP4" };
export const STAGES = ["Weights", "Block maximum", "Normalised", "Nearest code", "Packed bytes", "Dequantized", "Error"];

const bits = (value, width) => (value & (2 ** width - 1)).toString(2).padStart(width, "0");

export class Rail {
  belong(view) { this.view = view; }

  go(stage) {
    this.view.stage = Math.max(0, Math.min(STAGES.length - 1, stage));
    this.view.frame.draw();
    this.view.frame.release();
  }

  layout(width) {
    this.many = width >= 640 ? 8 : 4;
    this.told = h("p", { class: "x-told" });
    this.back = button("Back", () => this.go(this.view.stage - 1), "One step back");
    this.next = button("Next", () => this.go(this.view.stage + 1), "One step on");
    this.rows = STAGES.map((name, k) => {
      const cells = Array.from({ length: this.many }, () => h("td", {}));
      const head = h("button", { type: "button", "data-spot": `stage${k}` }, `${k + 1} ${name}`);
      head.addEventListener("click", () => this.go(k));
      const row = h("tr", {}, h("th", { scope: "row" }, head), cells);
      return { row, head, cells };
    });
    this.spanned(1, this.many);
    const table = h("table", { class: "x-rail", "aria-label": "The steps of quantizing, for the weights around the chosen one" }, h("tbody", {}, this.rows.map(({ row }) => row)));
    return h("div", { class: "x-steps" }, h("div", { class: "x-walk" }, this.back, this.next, this.told), table);
  }

  /** Let each cell of a row stand for so many weights. */
  spanned(k, weights) {
    const { row, cells } = this.rows[k];
    if (cells[0].colSpan === weights) return;
    cells.forEach((cell, i) => {
      cell.remove();
      cell.colSpan = weights;
      if (i % weights === 0) row.append(cell);
    });
  }

  paint() {
    const { view } = this, { x, now, chosen, format, scale, stage } = view, from = Math.floor(chosen / this.many) * this.many, one = format === "int8";
    const around = Array.from({ length: this.many }, (_, k) => from + k), bytes = packed(now.codes, format);
    this.spanned(4, one ? 1 : 2);
    const texts = [
      around.map(i => num(x[i], 3)),
      [`${num(scale, 4)}${format === "mxfp4" ? ", a power of two" : ""}, stored once for ${view.size} weights`],
      around.map(i => num(normalised(x[i], scale, format), format in TOP ? 2 : 3)),
      around.map(i => String(now.codes[i]).replace("-", "\u2212")),
      around.map(i => (one ? bits(bytes[i], 8) : `${bits(bytes[i >> 1] >> 4, 4)} ${bits(bytes[i >> 1], 4)}`)),
      around.map(i => num(now.back[i], 3)),
      around.map(i => `${now.back[i] > Math.fround(x[i]) ? "+" : ""}${num(now.back[i] - Math.fround(x[i]), 3)}`),
    ];
    this.rows.forEach(({ row, head, cells }, k) => {
      row.classList.toggle("lit", k === stage);
      k === stage ? head.setAttribute("aria-current", "step") : head.removeAttribute("aria-current");
      cells.forEach((cell, i) => {
        const text = texts[k][i] ?? "";
        if (cell.textContent !== text) cell.textContent = text;
        cell.classList.toggle("chosen", cell.colSpan <= 2 && Math.floor((chosen - from) / cell.colSpan) * cell.colSpan === i);
      });
    });
    this.back.disabled = stage === 0;
    this.next.disabled = stage === STAGES.length - 1;
    const told = this.explained(view);
    if (this.told.textContent !== told) this.told.textContent = told;
  }

  /** The lit step in a sentence, with the chosen weight's numbers. `ui.quantization` has no other words for it. */
  explained({ x, now, chosen, format, scale, stage, size }) {
    const i = chosen, top = TOP[format], v = num(x[i], 3), shared = num(scale, 4), part = num(normalised(x[i], scale, format), 4), code = now.codes[i];
    return [
      `Weight ${i + 1} is ${v}. The ${size} weights ${size === 64 ? "all" : "of its block"} share one scale.`,
      format === "mxfp4" ? `The scale is a power of two, ${shared}, chosen by the largest magnitude; it takes 8 bits.` : `The scale is the largest magnitude, ${shared}; it is stored beside the codes, in 32 bits.`,
      top ? `Weight ${i + 1}, divided by the scale, times ${top}: ${v} · ${top} / ${shared} = ${part}.` : `Weight ${i + 1} is divided by the scale: ${v} / ${shared} = ${part}.`,
      top ? `Rounded to a whole number from ${num(-top)} to ${top}: ${part} becomes ${num(code)}.` : `The nearest of the values of ${NAMES[format]} to ${part} is ${num(now.back[i] / scale, 4)}, which is code ${code} of 16.`,
      format === "int8" ? "One code fills a byte. These bytes and the scale are all that is kept." : `Two codes share a byte, the first in the ${format === "mxfp4" ? "low" : "high"} half. These bytes and the scale are all that is kept.`,
      top ? `The way back: ${num(code)} · ${shared} / ${top} = ${num(now.back[i], 4)}.` : `The way back: ${num(now.back[i] / scale, 4)} · ${shared} = ${num(now.back[i], 4)}.`,
      `What is lost of weight ${i + 1}: ${num(now.back[i], 4)} − (${v}) = ${num(now.back[i] - x[i], 4)}.`,
    ][stage];
  }
}
