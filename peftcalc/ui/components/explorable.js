// The door between Streamlit and the views; it is called again on every run of the script and every change of theme.
import { Frame } from "./shell.js";

const VIEWS = {
  product: () => import("./product.js"),
  arrow: () => import("./arrow.js"),
  codes: () => import("./codes.js"),
  bits: () => import("./bits.js"),
  weights: () => import("./weights.js"),
  block: () => import("./block.js"),
  story: () => import("./story.js"),
};
const frames = new WeakMap(); // by place on the page

export default function explorable({ parentElement, data, setStateValue, setTriggerValue }) {
  let frame = frames.get(parentElement);
  if (!frame) frames.set(parentElement, (frame = new Frame(parentElement, VIEWS)));
  frame.receive(data instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(data)) : data, state => setStateValue("moved", state),
    setTriggerValue && (place => setTriggerValue("door", place)));
  return () => {
    frame.remove();
    frames.delete(parentElement);
  };
}
