// Called on every run of the script and every change of theme.
import { Frame } from "./shell.js";

const VIEWS = {
  product: async () => (await import("./product.js")).Product,
  arrow: async () => (await import("./adapters.js")).Arrow,
  codes: async () => (await import("./codes.js")).Codes,
  bits: async () => (await import("./codes.js")).Bits,
  weights: async () => (await import("./weights.js")).Weights,
  block: async () => (await import("./adapters.js")).Block,
  story: async () => (await import("./story.js")).Story,
};
const frames = new WeakMap(); // by place on the page

export default function explorable({ parentElement, data, setStateValue, setTriggerValue }) {
  let frame = frames.get(parentElement);
  if (!frame) frames.set(parentElement, (frame = new Frame(parentElement, VIEWS)));
  frame.receive(data instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(data)) : data, state => setStateValue("moved", state),
    setTriggerValue && (place => setTriggerValue("door", place)));
  // Also called when newer data overtakes a call: the view goes with its place.
  return () => setTimeout(() => {
    if (!parentElement.isConnected && frames.delete(parentElement)) frame.remove();
  });
}
