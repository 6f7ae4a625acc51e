// Four bits below, sixteen above: what each method keeps in which bits, and what that needs on a card.
import { number, numbers, oneOf, text, whole } from "./checks.js";
import { menu } from "./controls.js";
import { num, s } from "./elements.js";
import { plate } from "./look.js";

export const METHODS = { full: "Full", lora: "LoRA", dora: "DoRA", qlora: "QLoRA", qdora: "QDoRA" };
const NAMES = Object.keys(METHODS);
const BITS = { full: "16 bits, trained", lora: "16 bits, frozen", qlora: "4 bits, frozen" };

export const models = list => list.map(one => ({ name: text("model", one.name), needs: numbers("needs", one.needs, 5, 5, 0, 1e5), at_most: numbers("at_most", one.at_most, 5, 5, 0, 1e5) }));
export const cards = list => list.map(one => ({ name: text("card", one.name), GiB: number("GiB", one.GiB, 0.1, 1e4) }));

/** Whether a card has it, with a sign that is read without colour. */
export const verdict = (needs, most, card) => (most <= card.GiB ? "✓ fits" : needs <= card.GiB ? "≈ may fit" : "✗ too large");

export default class Memory {
  static check(data) {
    return { models: models(data.models), cards: cards(data.cards), model: whole("model", data.model, 0, data.models.length - 1), card: whole("card", data.card, 0, data.cards.length - 1), method: oneOf("method", data.method, NAMES) };
  }

  constructor(frame) { this.frame = frame; }

  receive(data) {
    Object.assign(this, data);
    const change = () => { this.model = this.of.value; this.card = this.on.value; this.frame.relay(); this.frame.release(); };
    this.made?.forEach(element => element.remove());
    this.of = menu("Model", data.models.map(one => one.name), change);
    this.on = menu("Card", data.cards.map(one => `${one.name}, ${num(one.GiB, 0)} GiB`), change);
    this.frame.bar.prepend(...(this.made = [this.of.box, this.on.box]));
    this.state = this.state;
  }

  get state() { return { model: this.model, card: this.card, method: this.method }; }
  set state({ model, card, method }) {
    this.model = this.of.value = whole("model", model, 0, this.models.length - 1);
    this.card = this.on.value = whole("card", card, 0, this.cards.length - 1);
    this.method = oneOf("method", method, NAMES);
  }

  layout(width) {
    const wide = width >= 620, side = Math.min(230, wide ? 0.3 * width : 0.6 * width), high = 330, bars = wide ? side + 66 : 0, below = wide ? 0 : high + 14;
    const height = below + high;
    this.drawing = s("svg", { role: "group", viewBox: `0 0 ${width} ${height}`, width, height, "aria-label": "A weight as its method keeps it, and the memory that each method needs, with the card's line" });
    this.weight(side);
    this.bars(bars, below, width - bars, high);
    this.frame.stage.replaceChildren(this.drawing);
  }

  /** The base below and what is trained above it, each in its bits. */
  weight(side) {
    const { method } = this, four = method.startsWith("q"), full = method === "full", y = 96, high = side * 0.8;
    const label = (content, x, y, kind = "") => this.drawing.append(s("text", { class: `left ${kind}`, x, y }, content));
    label(METHODS[method], 6, 10, "title");
    this.drawing.append(plate(full ? "trained" : four ? "four" : "frozen", 12, y, side - 12, high, method));
    this.drawing.append(s("text", { class: "title halo", x: 12 + (side - 12) / 2, y: y + high / 2 }, full ? "W" : "W, frozen"));
    label(BITS[full ? "full" : four ? "qlora" : "lora"], 6, y + high + 24);
    if (full) return;
    this.drawing.append(plate("trained", 12, y - 34, side - 12, 9, method), plate("trained", side + 18, y, 9, high, method));
    label("A and B: 16 bits, trained", 6, y - 60);
    if (method.endsWith("dora")) {
      this.drawing.append(plate("trained", side + 42, y, 1, high, method));
      label("and m, a length for each row", 6, y + high + 48);
    }
  }

  bars(x, y, width, high) {
    const { models: list, cards: all } = this, model = list[this.model], card = all[this.card], room = width - 130;
    const most = Math.max(card.GiB * 1.15, Math.min(Math.max(...model.needs), 3 * card.GiB)), at = v => x + 62 + (Math.min(v, most) / most) * room;
    const group = s("g", {}), line = at(card.GiB);
    this.drawing.append(group, s("text", { class: "title left", x, y: y + 10 }, "One training step of the whole model, GiB"));
    NAMES.forEach((name, k) => {
      const top = y + 62 + k * 52, needs = model.needs[k], out = needs > most, fits = verdict(needs, model.at_most[k], card);
      const row = s("g", { class: "x-row", tabindex: 0, role: "button", "aria-pressed": String(name === this.method), "data-spot": name, "aria-label": `${METHODS[name]}: ${num(needs, 1)} GiB, ${fits.slice(2)}` },
        s("rect", { class: "field", x: x - 6, y: top - 8, width: width + 6, height: 48, rx: 6 }),
        s("text", { class: name === this.method ? "left title" : "left", x, y: top + 14 }, METHODS[name]),
        s("rect", { x: x + 62, y: top, width: Math.max(2, at(needs) - x - 62), height: 28, rx: 3, style: `fill:var(--x-${name});${fits[0] === "✗" ? "fill-opacity:.35" : ""}` }),
        s("text", { class: "right", x: x + width - 4, y: top + 14 }, num(needs, 1)),
        s("text", { class: "small left quiet", x: x + 62, y: top + 35.5 }, fits));
      const pick = () => { this.method = name; this.frame.relay(); this.frame.release(); };
      row.addEventListener("click", pick);
      row.addEventListener("keydown", event => { if (" Enter".includes(event.key)) { event.preventDefault(); pick(); } });
      group.append(row);
    });
    this.drawing.append(s("path", { d: `M${line},${y + 48}V${y + high}`, style: "stroke:var(--ink);stroke-width:2;stroke-dasharray:2 3" }), s("text", { class: "small halo", x: line, y: y + 38 }, `${card.name} has ${num(card.GiB, 1)}`));
  }

  paint() {}
  get picture() { return this.drawing; }
  get sentence() {
    const model = this.models[this.model], card = this.cards[this.card], k = NAMES.indexOf(this.method);
    const said = { "✓": "fits on", "≈": "may just fit on", "✗": "does not fit on" }[verdict(model.needs[k], model.at_most[k], card)[0]];
    return `${model.name} with ${METHODS[this.method]} needs about ${num(model.needs[k], 1)} GiB and ${said} ${/^[AH]/.test(card.name) ? "an" : "the"} ${card.name}. Rank 16, one sequence of 2,048 tokens, with checkpointing.`;
  }
}
