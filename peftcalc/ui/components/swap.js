// One base, many adapters: plug one in, what the model makes changes in the same instant, the bytes stay.
import { number, text, whole } from "./checks.js";
import { choice, figure } from "./controls.js";
import { count, num, s } from "./elements.js";
import { plate } from "./look.js";

const MB = 1e6;
const size = bytes => `${num(bytes / MB, 2)} MB`;

export default class Swap {
  static check(data) {
    const names = list => list.slice(0, 8).map(name => text("sample", name, 80).trim());
    return {
      base: { parameters: whole("parameters", data.base.parameters, 1, 1e15), bytes: number("bytes", data.base.bytes, 1, 1e15) },
      adapters: data.adapters.map(one => ({ task: text("task", one.task, 40), before: names(one.before), after: names(one.after), trained: whole("trained", one.trained, 1, 1e15), bytes: number("bytes", one.bytes, 1, 1e15), copied: number("copied", one.copied, 0, 1) })),
    };
  }

  constructor(frame) {
    this.frame = frame;
    this.plugged = 0;
  }

  receive(data) {
    Object.assign(this, data);
    this.made?.forEach(element => element.remove());
    const options = [[0, "None"], ...data.adapters.map((one, k) => [k + 1, one.task])];
    this.choice = choice("Adapter", options, value => { this.plugged = value; this.frame.draw(); this.frame.release(); });
    this.one = figure("");
    this.frame.bar.prepend(...(this.made = [this.choice.box, this.one.box]));
  }

  get state() { return { plugged: this.plugged }; }
  set state({ plugged }) { this.plugged = this.choice.value = whole("plugged", plugged, 0, this.adapters.length); }

  layout(width) {
    const { adapters, base } = this, wide = width >= 600, left = wide ? 0.5 * width : width, names = wide ? left + 40 : 0, y = wide ? 0 : 322, height = wide ? 330 : 322 + 290;
    this.drawing = s("svg", { role: "group", viewBox: `0 0 ${width} ${height}`, width, height, "aria-label": "One base model, its adapters, and the names that it makes with the one that is plugged in" });
    const room = left - 24, each = room / adapters.length;
    this.drawing.append(plate("frozen", 12, 128, room, 96), s("text", { class: "title halo", x: 12 + room / 2, y: 166 }, "one base, frozen"),
      s("text", { class: "small halo", x: 12 + room / 2, y: 190 }, `${count(base.parameters)} numbers, ${size(base.bytes)}`));
    this.plugs = adapters.map((one, k) => {
      const x = 12 + k * each, group = s("g", { class: "x-plug x-row", "data-spot": `plug${k + 1}` },
        s("rect", { x: x + 3, y: 14, width: each - 6, height: 46, rx: 6, style: "fill:var(--x-lora);fill-opacity:.9;stroke:var(--x-lora);stroke-width:2" }),
        s("text", { class: "small", x: x + each / 2, y: 30, style: "fill:#fff;font-weight:600" }, one.task), s("text", { class: "small", x: x + each / 2, y: 48, style: "fill:#fff" }, num(one.bytes / MB, 2)));
      group.addEventListener("click", () => { this.plugged = this.plugged === k + 1 ? 0 : k + 1; this.choice.value = this.plugged; this.frame.draw(); this.frame.release(); });
      this.drawing.append(group);
      return group;
    });
    this.sums(12, 250, room);
    this.heading = s("text", { class: "title left", x: names, y: y + 10 });
    this.samples = Array.from({ length: 8 }, (_, k) => s("text", { class: "left x-sample", x: names, y: y + 46 + k * 31 }));
    this.note = s("text", { class: "small left quiet", x: names, y: y + 46 + 8 * 31 });
    this.drawing.append(this.heading, ...this.samples, this.note);
    this.frame.stage.replaceChildren(this.drawing);
  }

  /** Base and adapters together, beside as many whole models. */
  sums(x, y, room) {
    const { base, adapters } = this, many = adapters.length, all = this.together, whole_ = many * base.bytes, wide = v => (v / whole_) * room;
    this.drawing.append(s("text", { class: "small left", x, y }, `base and ${many} adapters: ${size(all)}`), s("rect", { x, y: y + 11, width: wide(base.bytes), height: 12, style: "fill:var(--frozen)" }));
    adapters.forEach((one, k) => this.drawing.append(s("rect", { x: x + wide(base.bytes + k * one.bytes) + 1, y: y + 11, width: Math.max(1, wide(one.bytes) - 1), height: 12, style: "fill:var(--x-lora)" })));
    this.drawing.append(s("text", { class: "small left", x, y: y + 42 }, `${many} whole models: ${size(whole_)}`));
    for (let k = 0; k < many; k++) this.drawing.append(s("rect", { x: x + wide(k * base.bytes) + 1, y: y + 53, width: wide(base.bytes) - 2, height: 12, style: "fill:var(--x-full)" }));
  }
  get together() { return this.base.bytes + this.adapters.reduce((sum, one) => sum + one.bytes, 0); }

  paint() {
    const { plugged, adapters } = this, one = adapters[plugged - 1];
    this.plugs.forEach((plug, k) => plug.setAttribute("transform", `translate(0,${plugged === k + 1 ? 58 : 0})`));
    const shown = one ? one.after : adapters[0].before;
    this.heading.textContent = one ? `City names it makes for ${one.task}` : "City names the base makes";
    this.samples.forEach((line, k) => { line.textContent = shown[k] ?? ""; });
    this.note.textContent = one ? `Stored run; ${num(100 * one.copied, 0)} % of such names stood in what it trained on.` : "Stored run; it has read the rest of the world's names.";
    const first = adapters[Math.max(0, plugged - 1)];
    this.one.set(count(first.trained), `trained for each adapter (${num((100 * first.trained) / this.base.parameters, 1)} % of the base)`);
  }
  get picture() { return this.drawing; }
  get sentence() {
    const one = this.adapters[this.plugged - 1];
    return `${one ? `${one.task} is plugged in; the base has not changed by a byte.` : "Plug an adapter in: click one."} Five tasks take ${size(this.together)}, five whole models ${size(this.adapters.length * this.base.bytes)}.`;
  }
}
