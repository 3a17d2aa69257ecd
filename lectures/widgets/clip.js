// CLIP on typed labels: a picture, a list of names, and how probable each name is.
import { dot, softmax } from "./arrays.js";
import { bars, element, percent, start } from "./frame.js";
import { encodeText, readTextEncoder } from "./text_encoder.js";

/** The labels of a typed list, each once: "pizza, cat" -> ["pizza", "cat"]. */
export const split = (typed) => [...new Set(typed.split(",").map((label) => label.trim()).filter(Boolean))];

/** The softmax of the picture's cosines with the labels, times exp(t). */
export const classify = (encoder, I_e, labels) =>
  softmax(labels.map((label) => dot(I_e, encodeText(encoder, label)) * Math.exp(encoder.t)));

function show(place, { encoder: numbers, pictures, labels }) {
  const encoder = readTextEncoder(numbers), shown = bars("Probabilities");
  const told = element("p", { role: "status" });
  const input = element("input", { type: "text", value: labels.join(", "), maxlength: 300,
    "aria-label": "Labels, with commas between", input: update });
  const radios = pictures.map(({ name, source }, i) => element("label", {},
    element("input", { type: "radio", name: "clip-picture", value: i, checked: i === 0, change: update }),
    element("img", { src: source, alt: name, width: 48, height: 48 })));
  const set = element("fieldset", { class: "radios" }, element("legend", {}, "Picture"), ...radios);

  function update() {
    const { I_e } = pictures[set.querySelector(":checked").value], typed = split(input.value);
    const p = typed.length ? classify(encoder, I_e, typed) : [];
    shown.show(p.map((share, i) => ({ name: typed[i], share, says: percent(share) })));
    const best = p.indexOf(Math.max(...p));
    told.textContent = typed.length ? `Most probable: ${typed[best]}, ${percent(p[best])}` : "Type a label.";
  }
  place.append(set, element("label", { class: "typed" }, element("span", {}, "Labels"), input), told, shown.root);
  update();
}

start("clip", show);
