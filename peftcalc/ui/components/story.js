// The story: nine scenes, one at a time, each a picture to play with beside a few words, a question, and a door.
//
// A scene's pictures are views in frames of their own (`shell.js`), kept as long as the page is: whoever comes back finds
// what was moved. What stands in the link is the scene and what was moved in its picture.
import { oneOf, text, whole } from "./checks.js";
import { choice } from "./controls.js";
import { h } from "./elements.js";
import { Frame } from "./shell.js";

const learn = name => async () => ({ default: (await import("./story_learn.js"))[name] });
const cards = name => async () => ({ default: (await import("./story_cards.js"))[name] });
const VIEWS = {
  whole: learn("Whole"),
  strips: learn("Strips"),
  arrow: () => import("./arrow.js"),
  bits: () => import("./bits.js"),
  codes: () => import("./codes.js"),
  memory: cards("Memory"),
  swap: cards("Swap"),
};
const WIDE = 860; // from here on the words stand beside the picture

export default class Story {
  static check(data) {
    const scenes = data.scenes.map((one, k) => ({
      title: text("title", one.title, 80),
      words: text("words", one.words, 400),
      question: text("question", one.question, 200),
      options: one.options.map(option => text("option", option, 80)),
      right: whole("right", one.right, 0, one.options.length - 1),
      answer: text("answer", one.answer, 400),
      then: one.then ?? {},
      door: { label: text("door", one.door.label, 80), href: text("href", one.door.href, 200) },
      faces: one.faces.map(face => ({ name: text("face", face.name, 40), view: oneOf("view", face.view, Object.keys(VIEWS)), data: face.data })),
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
    const move = (by, label, sign) => {
      const made = h("button", { type: "button", class: "x-turn", "aria-label": label }, sign);
      made.addEventListener("click", () => this.go(this.at + by));
      return made;
    };
    this.dots = scenes.map(({ title }, k) => {
      const dot = h("button", { type: "button", class: "x-dot", title, "aria-label": `Scene ${k + 1} of ${scenes.length}: ${title}` }, String(k + 1));
      dot.addEventListener("click", () => this.go(k));
      return dot;
    });
    this.back = move(-1, "Previous scene", "‹");
    this.on = move(1, "Next scene", "›");
    this.frame.bar.replaceChildren(h("nav", { class: "x-dots", "aria-label": "Scenes" }, this.back, this.dots, this.on));
    this.frame.stage.replaceChildren();
  }

  // ---- a scene ----

  place(scene) {
    const place = { scene, face: 0, faces: scene.faces.map(() => ({ moved: {} })), guess: null };
    place.picture = h("div", { class: "x-picture" });
    // What an inner frame undoes is not undone again by the outer one.
    place.picture.addEventListener("keydown", event => { if (event.ctrlKey || event.metaKey) event.stopPropagation(); });
    place.which = scene.faces.length > 1 ? choice("Picture", scene.faces.map(({ name }, k) => [k, name]), value => { this.turnTo(place, value); this.frame.release(); }) : null;
    place.ask = h("fieldset", { class: "x-ask" });
    const door = h("a", { class: "x-door", href: scene.door.href }, scene.door.label, " →");
    door.addEventListener("click", event => {
      if (!this.frame.leave || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
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

  /** The question; after a guess the guess, beside what is so. */
  question(place) {
    const { scene: { question, options, right, answer }, guess, ask } = place;
    if (guess !== null) {
      const sign = guess === right ? "✓" : "✗";
      ask.replaceChildren(h("legend", {}, question), h("p", { class: "x-guess" }, `${sign} You said: ${options[guess]}.`), h("p", {}, answer));
      return;
    }
    ask.replaceChildren(h("legend", {}, question), h("div", { class: "x-options" }, options.map((option, k) => {
      const made = h("button", { type: "button", class: "x-button" }, option);
      made.addEventListener("click", () => {
        place.guess = k;
        this.question(place);
        this.open(place);
        this.then(place);
        this.frame.speak(ask.textContent);
        place.heading.focus({ preventScroll: true });
      });
      return made;
    })));
  }
  /** What would have given the answer away is drawn once it is out. */
  open(place) {
    for (const { frame } of place.faces) if (frame?.view) { frame.view.open = place.guess !== null; frame.relay(); }
  }

  /** The picture goes where the question asked about, and shows what came. */
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
    else face.frame = new Frame(place.picture, VIEWS);
    // The state that it began with, as long as it stands: then nothing that a hand has moved is taken back.
    face.begun ??= face.moved;
    await face.frame.receive({ view, ...data, state: face.begun, projector: this.frame.projector }, moved => {
      face.moved = moved;
      this.frame.release();
    });
    if (face.frame.view && place.guess !== null && !face.frame.view.open) this.open(place);
  }

  // ---- from scene to scene ----

  go(to) {
    const at = Math.max(0, Math.min(this.scenes.length - 1, to));
    if (at === this.at) return;
    this.at = at;
    const inside = this.frame.stage.contains(this.frame.root.getRootNode().activeElement);
    this.show();
    if (inside) this.places[at].heading.focus({ preventScroll: true });
    this.frame.release();
  }

  /** Page Up and Page Down, which a presenter's clicker sends too, wherever the focus is but in a text. */
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
    this.frame.stage.replaceChildren(place.body);
    this.turnTo(place, place.face);
  }

  // ---- the frame's questions ----

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
