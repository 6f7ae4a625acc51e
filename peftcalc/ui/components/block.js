// One transformer block in true proportion; a click gives a matrix its adapter or takes it away. (LoRA paper, section 4.1.)
import { count, figure, num, numbers, oneOf, plate, roving, s, text, whole } from "./kit.js";

const MOST = 24;
const THINNEST = 3; // pixels; rank 16 of 4,096 would be a fifth of one
const GAP = 3;

export default class Block {
  static check(data) {
    if (!Array.isArray(data.boxes) || data.boxes.length > MOST) throw new RangeError(`boxes must be a list of at most ${MOST}`);
    const size = (name, value) => whole(name, value, 0, 1e15);
    return {
      boxes: data.boxes.map(box => ({
        name: text("name", box.name), path: text("path", box.path), wide: size("wide", box.wide), tall: size("tall", box.tall),
        numbers: size("numbers", box.numbers), adds: size("adds", box.adds), sum: text("sum", box.sum),
        blocks: whole("blocks", box.blocks, 1, 1e6), lit: whole("lit", box.lit, 0, 1), pick: whole("pick", box.pick, -1, 99),
      })),
      model: text("model", data.model),
      names: whole("names", data.names, 0, 100),
      rank: whole("rank", data.rank, 1, 1e6),
      four: whole("four", data.four, 0, 1),
      method: oneOf("method", data.method, ["lora", "dora", "qlora", "qdora"]),
    };
  }

  constructor(frame) {
    this.frame = frame;
    this.total = figure("");
    frame.bar.append(this.total.box);
  }

  receive(data) {
    Object.assign(this, data);
    this.chosen = []; // none: every one
    this.at = this.last = null;
  }

  get state() { return { chosen: this.chosen }; }
  set state({ chosen }) { this.chosen = numbers("chosen", chosen, 0, 99, 0, 99); }

  has(box) { return this.chosen.length ? this.chosen.includes(box.pick) : Boolean(box.lit); }

  toggle(box) {
    if (box.pick < 0) return;
    const now = new Set(this.chosen.length ? this.chosen : Array.from({ length: this.names }, (_, i) => i));
    if (!now.delete(box.pick)) now.add(box.pick);
    this.last = now.size ? null : box;
    if (!now.size) return this.frame.draw();
    this.chosen = now.size === this.names ? [] : [...now].sort((a, b) => a - b);
    this.frame.release();
  }

  layout(width) {
    const { projector } = this.frame, letter = projector ? 10 : 8.2, under = projector ? 54 : 46, over = projector ? 30 : 26;
    const most = width < 640 ? 560 : 245, longest = Math.max(1, ...this.boxes.flatMap(box => [box.wide, box.tall]));
    const slots = scale => {
      let x = 0, rows = [[]];
      for (const box of this.boxes) {
        const room = Math.max(box.wide * scale + 24, box.name.length * letter + 30, 92);
        if (x && x + room > width) { rows.push([]); x = 0; }
        rows.at(-1).push({ box, x, room });
        x += room + 8;
      }
      const high = rows.map(row => Math.max(...row.map(({ box }) => box.tall * scale), 8));
      return { rows, high, scale, fits: rows.flat().every(({ room }) => room <= width), height: high.reduce((sum, one) => sum + one + under + over, 0) };
    };
    let plan = slots((most - under) / longest);
    while ((plan.height > most || !plan.fits) && plan.scale * longest > 24) plan = slots(plan.scale * 0.96);
    this.scale = plan.scale;
    const height = plan.height + 34;
    this.drawing = s("svg", { role: "group", viewBox: `0 0 ${width} ${height}`, width, height, "aria-label": `One block of ${this.model}: each matrix as wide as its inputs and as tall as its outputs` });
    this.shown = [];
    let y = 0, path = null;
    plan.rows.forEach((row, k) => {
      y += over + plan.high[k];
      for (const slot of row) {
        this.matrix(slot, y, slot.box.path !== path && slot.box.path, plan.high[k]);
        path = slot.box.path;
      }
      y += under;
    });
    this.legend(y + 18);
    this.frame.stage.replaceChildren(this.drawing);
  }

  matrix({ box, x, room }, floor, title, high) {
    const w = Math.max(3, box.wide * this.scale), t = Math.max(3, box.tall * this.scale), left = x + 14, top = floor - t, color = `fill:var(--x-${this.method})`;
    const thick = Math.max(THINNEST, this.rank * this.scale), k = this.shown.length, small = { class: "small left" };
    const strips = s("g", { class: "x-glide", style: color },
      s("rect", { x: left - GAP - thick, y: top, width: thick, height: t }), s("rect", { x: left, y: top - GAP - thick, width: w, height: thick }),
      this.method.endsWith("dora") ? s("rect", { x: left + w + GAP, y: top, width: THINNEST, height: t }) : null);
    const tick = box.pick < 0 ? null : s("g", { transform: `translate(${x},${floor + 10})` }, s("rect", { class: "box", width: 13, height: 13, rx: 3 }), s("path", { class: "tick", d: "M3,7L6,10L11,3" }));
    const name = s("text", { class: "left", x: x + (tick ? 19 : 0), y: floor + 17 }, box.name), adds = s("text", { ...small, x, y: floor + 36 });
    const element = s("g", { class: box.pick < 0 ? "x-pick still" : "x-pick", role: box.pick < 0 ? "img" : "checkbox", tabindex: k ? -1 : 0, "data-spot": `${box.path}.${box.name}` },
      s("rect", { class: "ground", x: x - 4, y: floor - high - 12, width: room + 2, height: high + 58, rx: 8 }),
      title && s("text", { class: "small left quiet", x, y: floor - high - 18 }, title),
      plate(this.four ? "four" : "frozen", left, top, w, t, this.method, 0), strips, tick, name, adds);
    const look = on => { this.at = on ? box : null; this.frame.draw(); };
    element.addEventListener("pointerenter", () => look(true));
    element.addEventListener("pointerleave", () => look(false));
    element.addEventListener("focus", () => { look(true); this.frame.speak(this.sentence); });
    element.addEventListener("blur", () => look(false));
    element.addEventListener("click", () => this.toggle(box));
    element.addEventListener("keydown", event => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      this.toggle(box);
    });
    roving(element, 0, k, (i, j) => this.shown[i + j]?.element, true);
    this.shown.push({ box, element, strips, name, adds });
    this.drawing.append(element);
  }

  legend(y) {
    let x = 0;
    for (const [kind, label] of [["frozen", "frozen"], ["four", "frozen, in 4 bits"], ["trained", "trained: B and A" + (this.method.endsWith("dora") ? " and m" : "")]]) {
      if (kind === (this.four ? "frozen" : "four")) continue;
      const swatch = plate(kind, x + 1, y - 8, 22, 16, this.method, 0), words = s("text", { class: "small left", x: x + 31, y: y + 1 }, label);
      this.drawing.append(swatch, words);
      x += 52 + label.length * (this.frame.projector ? 8.4 : 6.9);
    }
  }

  paint() {
    for (const { box, element, strips, name, adds } of this.shown) {
      const has = this.has(box);
      strips.style.opacity = has ? 1 : 0;
      name.style.fontWeight = has ? 700 : 400;
      adds.textContent = has ? `+ ${count(box.adds)}` : "frozen";
      element.setAttribute("aria-checked", String(has));
      element.setAttribute("aria-label", `${box.name}, ${count(box.wide)} to ${count(box.tall)}, ${has ? `an adapter of ${count(box.adds)}` : "no adapter"}`);
    }
    const { trained, frozen } = this.sums();
    this.total.set(count(trained), `trained in one block, beside ${count(frozen)} frozen (${num((100 * trained) / (frozen || 1), 2)} %)`);
  }
  sums() {
    const sum = of => this.boxes.reduce((total, box) => total + of(box), 0);
    return { trained: sum(box => (this.has(box) ? box.adds : 0)), frozen: sum(box => box.numbers) };
  }
  get picture() { return this.drawing; }

  get sentence() {
    const box = this.at, bits = this.four ? " in 4 bits" : "";
    if (this.last) return `${this.last.name} keeps its adapter: there must be at least one target.`;
    if (box) {
      const shape = `${box.name}, ${count(box.wide)} inputs → ${count(box.tall)} outputs: ${count(box.numbers)} frozen numbers${bits}`;
      const each = box.blocks > 1 ? `, in each of ${count(box.blocks)} blocks` : "";
      if (this.has(box)) return `${shape}; the adapter trains ${box.sum} (${num((100 * box.adds) / (box.numbers || 1), 2)} %)${each}.`;
      return `${shape}, no adapter${each}.` + (box.pick < 0 ? "" : ` One would train ${box.sum}.`);
    }
    const thin = this.rank * this.scale;
    return "Each matrix is as wide as its inputs and as tall as its outputs; click one to give or take its adapter."
      + (thin < THINNEST ? ` True to scale the coloured strips were ${num(thin, thin < 0.1 ? 2 : 1)} pixels thin.` : "");
  }
}
