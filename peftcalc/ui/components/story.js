// The story: scenes, each a picture in a frame of its own.
import { button, checked, choice, count, draggable, dress, figure, Frame, h, matrix, menu, num, number, numbers, oneOf, over, pixels, plate, press, s, sheet, text, through, top, whole } from "./shell.js";

const OWN = { whole: () => Whole, strips: async () => (await import("./product.js")).Strips, memory: () => Memory, swap: () => Swap };
const WIDE = 860;

export class Story {
  static check(data) {
    const scenes = data.scenes.map((one, k) => ({
      ...checked(one, { title: [text, 80], words: [text, 400], question: [text], right: [whole, 0, one.options.length - 1], answer: [text, 400] }),
      options: one.options.map(option => text("option", option, 80)),
      then: one.then ?? {},
      door: checked(one.door, { label: [text, 80], href: [text] }),
      faces: one.faces.map(face => ({ ...checked(face, { name: [text, 40], view: [text, 40] }), data: face.data })),
    }));
    if (!scenes.length || scenes.some(one => !one.faces.length)) throw new RangeError("a story needs scenes, each with a picture");
    return { scenes };
  }

  constructor(frame) {
    this.frame = frame;
    frame.root.classList.add("x-story");
    this.turn = event => this.keys(event);
    window.addEventListener("keydown", this.turn, true);
  }
  remove() {
    window.removeEventListener("keydown", this.turn, true);
    for (const place of this.places ?? []) for (const { frame } of place.faces) frame?.remove();
  }

  receive({ scenes }) {
    this.scenes = scenes;
    this.places = scenes.map(scene => this.place(scene));
    this.at = 0;
    const move = (by, label, sign) => button(sign, () => this.go(this.at + by), label, "x-turn");
    this.dots = scenes.map(({ title }, k) => dress(button(k + 1, () => this.go(k), `Scene ${k + 1} of ${scenes.length}: ${title}`, "x-dot"), { title }));
    this.back = move(-1, "Previous scene", "‹");
    this.on = move(1, "Next scene", "›");
    this.frame.bar.replaceChildren(h("nav", { class: "x-dots", "aria-label": "Scenes" }, this.back, this.dots, this.on));
    this.frame.stage.replaceChildren();
  }

  place(scene) {
    const place = { scene, face: 0, faces: scene.faces.map(() => ({ moved: {} })), guess: null };
    place.picture = h("div", { class: "x-picture" });
    // What an inner frame undoes is not undone again by the outer one.
    place.picture.addEventListener("keydown", event => { if (event.ctrlKey || event.metaKey) event.stopPropagation(); });
    place.which = scene.faces.length > 1 ? choice("Picture", scene.faces.map(({ name }, k) => [k, name]), value => { this.turnTo(place, value); this.frame.release(); }) : null;
    place.ask = h("fieldset", { class: "x-ask" });
    const door = through(h("a", { class: "x-door", href: scene.door.href }, scene.door.label, " →"), () => {
      if (!this.frame.leave) return false;
      const { model, card } = place.faces[place.face].frame?.view?.state ?? {};
      this.frame.leave({ scene: this.at + 1, model: model ?? null, card: card ?? null });
    });
    place.heading = h("h2", { tabindex: -1 }, scene.title);
    place.body = h("section", { class: "x-scene", "aria-label": scene.title },
      h("div", { class: "x-words" }, place.heading, h("p", {}, scene.words), place.which && h("div", { class: "x-faces" }, place.which.box), place.ask, door),
      place.picture);
    this.question(place);
    return place;
  }

  question(place) {
    const { scene: { question, options, right, answer }, guess, ask } = place;
    if (guess !== null) {
      const sign = guess === right ? "✓" : "✗";
      ask.replaceChildren(h("legend", {}, question), h("p", { class: "x-guess" }, `${sign} You said: ${options[guess]}.`), h("p", {}, answer));
      return;
    }
    ask.replaceChildren(h("legend", {}, question), h("div", { class: "x-options" }, options.map((option, k) => button(option, () => {
      place.guess = k;
      this.question(place);
      this.open(place);
      this.then(place);
      this.frame.speak(ask.textContent);
      place.heading.focus({ preventScroll: true });
    }))));
  }
  open(place) {
    for (const { frame } of place.faces) if (frame?.view) { frame.view.open = place.guess !== null; frame.relay(); }
  }

  then({ scene, faces: [{ frame }] }) {
    if (!frame?.view || !Object.keys(scene.then).length) return;
    frame.view.state = { ...frame.view.state, ...scene.then };
    frame.relay();
    frame.release();
  }

  async turnTo(place, which) {
    place.face = which;
    if (place.which) place.which.value = which;
    const face = place.faces[which], { view, data } = place.scene.faces[which];
    place.picture.replaceChildren();
    if (face.frame) place.picture.append(face.frame.root);
    else face.frame = new Frame(place.picture, { ...this.frame.views, ...OWN });
    // What it began with, so that no move is taken back.
    face.begun ??= face.moved;
    await face.frame.receive({ view, ...data, state: face.begun, projector: this.frame.projector }, moved => {
      face.moved = moved;
      this.frame.release();
    });
    if (face.frame.view && place.guess !== null && !face.frame.view.open) this.open(place);
  }

  go(to) {
    const at = Math.max(0, Math.min(this.scenes.length - 1, to));
    if (at === this.at) return;
    this.at = at;
    const inside = this.frame.stage.contains(this.frame.root.getRootNode().activeElement);
    this.show();
    if (inside) this.places[at].heading.focus({ preventScroll: true });
    this.frame.release();
  }

  /** Also a presenter's clicker, wherever the focus is but in a text. */
  keys(event) {
    const by = { PageDown: 1, PageUp: -1 }[event.key];
    const [target] = event.composedPath();
    if (!by || event.ctrlKey || event.altKey || event.metaKey || !this.frame.root.isConnected || target.isContentEditable || (/^(INPUT|TEXTAREA)$/.test(target.tagName) && !/^(range|checkbox)$/.test(target.type))) return;
    event.preventDefault();
    event.stopPropagation();
    this.go(this.at + by);
  }

  show() {
    const place = this.places[this.at];
    this.dots.forEach((dot, k) => {
      if (k === this.at) dot.setAttribute("aria-current", "step");
      else dot.removeAttribute("aria-current");
    });
    this.back.disabled = this.at === 0;
    this.on.disabled = this.at === this.scenes.length - 1;
    if (this.frame.stage.firstChild !== place.body) this.frame.stage.replaceChildren(place.body);
    this.turnTo(place, place.face);
  }

  get state() {
    const place = this.places[this.at];
    return { scene: this.at + 1, ...(place.face ? { face: place.face } : {}), ...place.faces[place.face].moved };
  }
  set state({ scene, face = 0, ...moved }) {
    const at = whole("scene", scene, 1, this.scenes.length) - 1, place = this.places[at], which = whole("face", face, 0, place.faces.length - 1);
    this.at = at;
    place.face = which;
    Object.assign(place.faces[which], { moved, begun: moved });
    if (this.frame.stage.firstChild) this.show();
  }

  layout(width) {
    this.frame.root.classList.toggle("wide", width >= WIDE);
    if (!this.frame.stage.firstChild) this.show();
    else this.turnTo(this.places[this.at], this.places[this.at].face);
  }
  paint() { this.places[this.at].faces[this.places[this.at].face].frame?.draw(); }
  get sentence() { return `Scene ${this.at + 1} of ${this.scenes.length}: ${this.scenes[this.at].title}`; }
}

// ---- the first scene ----
const STEP = 0.03; // of the way that is left
const KEPT = ["weights", "gradients: where to move", "their running mean", "running mean of their squares"];

class Whole {
  static check(data) {
    const W = matrix("W", data.W), to = matrix("to", data.to);
    if (to.n !== W.n || to.m !== W.m) throw new RangeError("W and where it goes must have one shape");
    return { n: W.n, m: W.m, W: W.flat, to: to.flat };
  }

  constructor(frame) {
    this.frame = frame;
    this.steps = 0;
    this.trained = figure("");
    this.hold = button("Press and hold to train", () => {});
    this.hold.classList.add("lead");
    draggable(this.hold, { start: () => this.press(true), move: () => {}, end: () => this.press(false) });
    this.hold.addEventListener("keydown", event => { if (" Enter".includes(event.key)) { event.preventDefault(); this.take(1); frame.releaseSoon(); } });
    frame.bar.append(this.hold, this.trained.box);
  }

  receive(data) { Object.assign(this, data); }
  get state() { return { steps: this.steps }; }
  set state({ steps }) { this.steps = whole("steps", steps, 0, 999); }

  take(many) { this.steps = Math.min(999, this.steps + many); this.frame.draw(); }
  press(held) {
    this.held = held;
    if (!held) return this.frame.release();
    const look = () => { if (this.held && this.frame.root.isConnected) { this.take(1); requestAnimationFrame(look); } };
    look();
  }

  layout(width) {
    const { n, m } = this, wide = width >= 560, side = Math.floor(Math.min(350, wide ? 0.46 * width : width - 12)), beside = wide ? side + 56 : 0;
    const height = wide ? side + 12 : side + 320, y = wide ? 4 : side + 40, room = width - beside - 8;
    this.drawing = sheet(`A matrix of ${n * m} numbers, all of them trained, and four bars of equal length: what that keeps in memory`, width, height);
    this.drawing.append(plate("trained", 6, 6, side, (side * n) / m, "full"), s("text", { class: "title left", x: beside, y: y + 8 }, `In memory while it trains: 4 × ${count(n * m)}`));
    this.kept = KEPT.map((name, k) => {
      const top = y + 40 + k * 62, held = s("g", { class: "x-glide" }), holds = s("text", { class: "right small", x: beside + room, y: top });
      const bar = style => s("rect", { x: beside, y: top + 14, width: room, height: 24, rx: 4, style });
      held.append(bar("fill:var(--x-full)"));
      this.drawing.append(bar("fill:none;stroke-dasharray:4 4;stroke:var(--x-full);stroke-width:2"), held, s("text", { class: "left small", x: beside, y: top }, name), holds);
      return { held, holds };
    });
    this.canvas = over(6, 6, side, (side * n) / m, { class: "x-press", "aria-label": "W: orange above zero, blue below" });
    draggable(this.canvas, { start: () => this.press(true), move: () => {}, end: () => this.press(false) });
    this.frame.stage.replaceChildren(this.drawing, this.canvas);
  }

  paint() {
    const { n, m } = this, gone = 1 - (1 - STEP) ** this.steps, now = this.W.map((v, k) => v + gone * (this.to[k] - v));
    this.moved = now.reduce((sum, v, k) => sum + Math.abs(v - this.W[k]), 0) / (n * m);
    pixels(this.canvas, now, n, m, Math.max(top(this.W), top(this.to)));
    this.kept.forEach(({ held, holds }, k) => {
      const on = !k || this.steps;
      held.style.opacity = on ? 1 : 0;
      holds.textContent = on ? count(n * m) : `0 of ${count(n * m)}`;
    });
    this.trained.set(this.steps ? count(n * m) : "0", `trained of ${count(n * m)}`);
  }
  get sentence() {
    const all = count(this.n * this.m);
    return this.steps ? `After ${this.steps} steps each of the ${all} numbers has moved, by ${num(this.moved, 2)} on average.` : "Nothing is trained yet: press and hold the button or the matrix.";
  }
}

// ---- the last two scenes ----
const METHODS = { full: "Full", lora: "LoRA", dora: "DoRA", qlora: "QLoRA", qdora: "QDoRA" };
const NAMES = Object.keys(METHODS);
const SAID = { fits: "✓ fits", tight: "≈ may just fit", "does not fit": "✗ does not fit" };

class Memory {
  static check(data) {
    const list = (name, one) => data[name].map(one), last = name => data[name].length - 1;
    return {
      models: list("models", one => ({ name: text("model", one.name), needs: numbers("needs", one.needs, 5, 5, 0, 1e5), atMost: numbers("at_most", one.at_most, 5, 5, 0, 1e5) })),
      cards: list("cards", one => ({ name: text("card", one.name), GiB: number("GiB", one.GiB, 0.1, 1e4) })),
      model: whole("model", data.model, 0, last("models")), card: whole("card", data.card, 0, last("cards")), method: oneOf("method", data.method ?? "qlora", NAMES),
      wish: 0, wishes: data.wishes && list("wishes", one => text("wish", one)),
      answers: data.wishes && list("answers", ([method, call, needs, verdict, again]) => ({ method: oneOf("method", method, NAMES), call: text("call", data.calls[call]), needs: number("needs", needs, 0, 1e5), verdict: oneOf("verdict", verdict, Object.keys(SAID)), again })),
    };
  }

  constructor(frame) { this.frame = frame; }

  receive(data) {
    Object.assign(this, data);
    const change = (name, value) => { this[name] = value; this.frame.relay(); this.frame.release(); };
    this.of = menu("Model", data.models.map(one => one.name), () => change("model", this.of.value));
    this.on = menu("Card", data.cards.map(one => `${one.name}, ${num(one.GiB, 0)} GiB`), () => change("card", this.on.value));
    this.for = data.wishes && choice("What matters", data.wishes.map((one, k) => [k, one]), value => change("wish", value));
    this.frame.bar.replaceChildren(this.of.box, this.on.box, ...(this.for ? [this.for.box] : []));
    this.state = this.state;
  }

  get state() { return { model: this.model, card: this.card, ...(this.wishes ? { wish: this.wish } : { method: this.method }) }; }
  set state({ model, card, method = "qlora", wish = 0 }) {
    this.model = this.of.value = whole("model", model, 0, this.models.length - 1);
    this.card = this.on.value = whole("card", card, 0, this.cards.length - 1);
    this.method = oneOf("method", method, NAMES);
    if (this.for) this.wish = this.for.value = whole("wish", wish, 0, this.wishes.length - 1);
  }
  get answer() { return this.answers?.[(this.model * this.cards.length + this.card) * this.wishes.length + this.wish]; }

  verdict(k) {
    const { needs, atMost } = this.models[this.model], { GiB } = this.cards[this.card];
    return SAID[atMost[k] <= GiB ? "fits" : needs[k] <= GiB ? "tight" : "does not fit"];
  }

  layout(width) {
    if (this.answer) this.method = this.answer.method;
    const wide = width >= 620, side = Math.min(230, (wide ? 0.3 : 0.6) * width), x = wide ? side + 66 : 0, y = wide ? 0 : 344;
    this.drawing = sheet("A weight as its method keeps it, and the memory that each method needs, with the card's line", width, y + 330);
    this.weight(side);
    this.bars(x, y, width - x);
    this.frame.stage.replaceChildren(this.drawing);
  }

  weight(side) {
    const { method } = this, four = method[0] === "q", full = method === "full", y = 96, high = 0.8 * side;
    const label = (content, y, kind = "") => this.drawing.append(s("text", { class: `left ${kind}`, x: 6, y }, content));
    const part = (kind, ...box) => this.drawing.append(plate(kind, ...box, method));
    label(METHODS[method], 10, "title");
    part(full ? "trained" : four ? "four" : "frozen", 12, y, side - 12, high);
    this.drawing.append(s("text", { class: "title halo", x: 6 + side / 2, y: y + high / 2 }, full ? "W" : "W, frozen"));
    label(`${four ? 4 : 16} bits, ${full ? "trained" : "frozen"}`, y + high + 24);
    if (full) return;
    label("A and B: 16 bits, trained", 36);
    part("trained", 12, y - 34, side - 12, 9);
    part("trained", side + 18, y, 9, high);
    if (!method.endsWith("dora")) return;
    part("trained", side + 42, y, 1, high);
    label("and m, a length for each row", y + high + 48);
  }

  bars(x, y, width) {
    const { needs } = this.models[this.model], { name: card, GiB } = this.cards[this.card];
    const most = Math.max(1.15 * GiB, Math.min(Math.max(...needs), 3 * GiB)), long = v => (Math.min(v, most) / most) * (width - 130), line = x + 62 + long(GiB);
    this.drawing.append(s("text", { class: "title left", x, y: y + 10 }, "One training step of the whole model, GiB"));
    NAMES.forEach((name, k) => {
      const top = y + 62 + k * 52, mine = name === this.method, fits = this.verdict(k), pick = () => { this.method = name; this.frame.relay(); this.frame.release(); };
      const row = s("g", { class: "x-row", "data-spot": name, "aria-label": `${METHODS[name]}: ${num(needs[k], 1)} GiB, ${fits.slice(2)}`, role: this.answers ? "img" : "button", tabindex: this.answers ? null : 0, "aria-pressed": this.answers ? null : String(mine) },
        s("rect", { class: mine ? "field mine" : "field", x: x - 6, y: top - 8, width: width + 6, height: 48, rx: 6 }),
        s("text", { class: mine ? "left title" : "left", x, y: top + 14 }, METHODS[name]),
        s("rect", { x: x + 62, y: top, width: Math.max(2, long(needs[k])), height: 28, rx: 3, style: `fill:var(--x-${name});fill-opacity:${fits[0] === "✗" ? 0.35 : 1}` }),
        s("text", { class: "right", x: x + width - 4, y: top + 14 }, num(needs[k], 1)),
        s("text", { class: "small left quiet", x: x + 62, y: top + 35 }, fits));
      if (!this.answers) press(row, pick);
      this.drawing.append(row);
    });
    this.drawing.append(s("path", { class: "x-card", d: `M${line},${y + 48}V${y + 330}` }), s("text", { class: "small halo", x: line, y: y + 38 }, `${card} has ${num(GiB, 1)}`));
  }

  paint() {}
  get sentence() {
    const { answer } = this, model = this.models[this.model].name, card = this.cards[this.card].name, k = NAMES.indexOf(this.method);
    if (answer) return `${model}, ${card}, ${this.wishes[this.wish]} first: ${answer.call}, ${answer.again ? "with" : "without"} checkpointing. About ${num(answer.needs, 1)} GiB: ${SAID[answer.verdict].slice(2)}.`;
    return `${model} with ${METHODS[this.method]} on ${card}: about ${num(this.models[this.model].needs[k], 1)} GiB, ${this.verdict(k).slice(2)}. Rank 16, one sequence of 2,048 tokens, with checkpointing.`;
  }
}

const size = bytes => `${num(bytes / 1e6, 2)} MB`;

class Swap {
  static check({ base, adapters }) {
    const names = list => list.slice(0, 8).map(name => text("sample", name, 80).trim()), weighed = one => checked(one, { bytes: [number, 1, 1e15], trained: [whole, 1, 1e15] });
    return { base: weighed(base), adapters: adapters.map(one => ({ ...weighed(one), ...checked(one, { task: [text, 40], copied: [number, 0, 1] }), before: names(one.before), after: names(one.after) })) };
  }

  constructor(frame) {
    this.frame = frame;
    this.plugged = 0;
  }

  receive(data) {
    Object.assign(this, data);
    this.choice = choice("Adapter", [[0, "None"], ...data.adapters.map((one, k) => [k + 1, one.task])], value => this.plug(value));
    this.one = figure("");
    this.frame.bar.replaceChildren(this.choice.box, this.one.box);
    this.together = data.adapters.reduce((sum, one) => sum + one.bytes, data.base.bytes);
  }
  plug(which) { this.state = { plugged: which }; this.frame.draw(); this.frame.release(); }

  get state() { return { plugged: this.plugged }; }
  set state({ plugged }) { this.plugged = this.choice.value = whole("plugged", plugged, 0, this.adapters.length); }

  layout(width) {
    const { adapters, base } = this, wide = width >= 600, room = (wide ? 0.5 : 1) * width - 24, names = wide ? room + 64 : 0, y = wide ? 0 : 340, each = room / adapters.length;
    this.drawing = sheet("One base model, its adapters, and the names that it makes with the one that is plugged in", width, y + 320);
    const write = (kind, x, y, content = "") => this.drawing.appendChild(s("text", { class: kind, x, y }, content));
    this.drawing.append(plate("frozen", 12, 122, room, 96));
    write("title halo", 12 + room / 2, 160, "one base, frozen");
    write("small halo", 12 + room / 2, 184, `${count(base.trained)} numbers, ${size(base.bytes)}`);
    this.plugs = adapters.map((one, k) => {
      const plug = s("g", { class: "x-row x-plug" }, s("rect", { x: 15 + k * each, y: 8, width: each - 6, height: 46, rx: 6, style: "fill:var(--x-lora)" }), s("text", { class: "small", x: 12 + (k + 0.5) * each, y: 24 }, one.task), s("text", { class: "small", x: 12 + (k + 0.5) * each, y: 42 }, size(one.bytes)));
      plug.addEventListener("click", () => this.plug(this.plugged === k + 1 ? 0 : k + 1));
      return this.drawing.appendChild(plug);
    });
    const many = adapters.length, scale = room / (many * base.bytes);
    const bar = (x, y, bytes, color) => this.drawing.append(s("rect", { x: 12 + scale * x, y, width: scale * bytes - 1, height: 12, style: `fill:var(--${color})` }));
    write("small left", 12, 246, `base and ${many} adapters: ${size(this.together)}`);
    bar(0, 257, base.bytes, "frozen");
    write("small left", 12, 290, `${many} whole models: ${size(many * base.bytes)}`);
    adapters.forEach((one, k) => { bar(base.bytes + k * one.bytes, 257, one.bytes, "x-lora"); bar(k * base.bytes, 301, base.bytes, "x-full"); });
    this.heading = write("title left", names, y + 10);
    this.samples = Array.from({ length: 8 }, (_, k) => write("left", names, y + 44 + k * 30));
    this.note = write("small left quiet", names, y + 290);
    this.frame.stage.replaceChildren(this.drawing);
  }

  paint() {
    const { plugged, adapters } = this, one = adapters[plugged - 1], { trained } = one ?? adapters[0];
    this.plugs.forEach((plug, k) => { plug.style.transform = `translateY(${plugged === k + 1 ? 58 : 0}px)`; });
    this.heading.textContent = one ? `City names it makes for ${one.task}` : "City names the base makes";
    this.samples.forEach((line, k) => { line.textContent = (one?.after ?? adapters[0].before)[k] ?? ""; });
    this.note.textContent = one ? `A stored run; ${num(100 * one.copied, 0)} % of such names stood in its examples.` : "A stored run; it knows the names of other countries.";
    this.one.set(count(trained), `trained for an adapter (${num((100 * trained) / this.base.trained, 1)} % of the base)`);
  }
  get sentence() {
    const one = this.adapters[this.plugged - 1];
    return `${one ? `${one.task} is plugged in; no byte of the base has changed.` : "Plug an adapter in: click one."} Five tasks take ${size(this.together)}, five whole models ${size(this.adapters.length * this.base.bytes)}.`;
  }
}
