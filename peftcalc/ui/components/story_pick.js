// Which would you choose? A model, a card, a wish: the answer of `peftcalc.advice.advise`, computed beforehand.
import { number, oneOf, text, whole } from "./checks.js";
import { choice, menu } from "./controls.js";
import { num, s } from "./elements.js";
import { METHODS, cards, models } from "./story_memory.js";

const VERDICTS = { fits: "✓ It fits", tight: "≈ It may just fit", "does not fit": "✗ It does not fit" };

export default class Pick {
  static check(data) {
    const all = models(data.models), on = cards(data.cards), wishes = data.wishes.map(one => text("wish", one));
    const calls = data.calls.map(one => text("call", one)), answers = data.answers.map(([method, call, needs, verdict, checkpointing]) => ({
      method: oneOf("method", method, Object.keys(METHODS)), call: calls[whole("call", call, 0, calls.length - 1)], needs: number("needs", needs, 0, 1e5),
      verdict: oneOf("verdict", verdict, Object.keys(VERDICTS)), checkpointing: Boolean(checkpointing) }));
    if (answers.length !== all.length * on.length * wishes.length) throw new RangeError("there must be one answer for each model, card and wish");
    return { models: all, cards: on, wishes, answers, model: whole("model", data.model, 0, all.length - 1), card: whole("card", data.card, 0, on.length - 1), wish: 0 };
  }

  constructor(frame) { this.frame = frame; }

  receive(data) {
    Object.assign(this, data);
    const change = () => { this.model = this.of.value; this.card = this.on.value; this.frame.draw(); this.frame.release(); };
    this.made?.forEach(element => element.remove());
    this.of = menu("Model", data.models.map(one => one.name), change);
    this.on = menu("Card", data.cards.map(one => `${one.name}, ${num(one.GiB, 0)} GiB`), change);
    this.for = choice("What matters", data.wishes.map((one, k) => [k, one]), value => { this.wish = value; this.frame.draw(); this.frame.release(); });
    this.frame.bar.prepend(...(this.made = [this.of.box, this.on.box, this.for.box]));
    this.state = this.state;
  }

  get state() { return { model: this.model, card: this.card, wish: this.wish }; }
  set state({ model, card, wish }) {
    this.model = this.of.value = whole("model", model, 0, this.models.length - 1);
    this.card = this.on.value = whole("card", card, 0, this.cards.length - 1);
    this.wish = this.for.value = whole("wish", wish, 0, this.wishes.length - 1);
  }
  get answer() { return this.answers[(this.model * this.cards.length + this.card) * this.wishes.length + this.wish]; }

  layout(width) {
    const room = Math.min(width - 12, 640), at = (y, kind, size) => s("text", { class: `left ${kind}`, x: 6, y, style: size ? `font-size:${size}px` : null });
    this.drawing = s("svg", { role: "group", viewBox: `0 0 ${width} 280`, width, height: 280, "aria-label": "The method to choose, what it needs, and what the card has" });
    this.room = room;
    this.name = at(34, "title", 46);
    this.fits = at(92, "title");
    this.needs = s("rect", { x: 6, y: 112, height: 30, rx: 4 });
    this.has = s("path", { style: "stroke:var(--ink);stroke-width:2;stroke-dasharray:2 3" });
    this.line = s("text", { class: "small halo", y: 156 });
    this.said = at(200, "small quiet");
    this.code = at(236, "");
    this.code.style.fontFamily = "ui-monospace, monospace";
    this.code.style.fontSize = width < 500 ? "13px" : "17px";
    this.drawing.append(this.name, this.fits, this.needs, this.has, this.line, this.said, this.code);
    this.frame.stage.replaceChildren(this.drawing);
  }

  paint() {
    const { answer, room } = this, card = this.cards[this.card], most = Math.max(card.GiB * 1.1, Math.min(answer.needs, 2 * card.GiB));
    this.name.textContent = METHODS[answer.method];
    this.name.style.fill = `color-mix(in srgb, var(--x-${answer.method}) 70%, var(--ink))`;
    this.fits.textContent = `${VERDICTS[answer.verdict]}: about ${num(answer.needs, 1)} of ${num(card.GiB, 1)} GiB`;
    this.needs.setAttribute("width", (Math.min(answer.needs, most) / most) * room);
    this.needs.style.fill = `var(--x-${answer.method})`;
    const x = 6 + (card.GiB / most) * room;
    this.has.setAttribute("d", `M${x},104V148`);
    this.line.setAttribute("x", Math.min(x, room - 40));
    this.line.textContent = card.name;
    this.said.textContent = answer.checkpointing ? "with activations computed again (checkpointing)" : "without computing activations again";
    this.code.textContent = `pc.${answer.call}`;
  }
  get picture() { return this.drawing; }
  get sentence() {
    return `For ${this.models[this.model].name} on ${this.cards[this.card].name}, where ${this.wishes[this.wish]} matters most: ${METHODS[this.answer.method]}. The door leads to the reasons, and to any other model or card.`;
  }
}
