// The merges of byte-pair encoding on a text that somebody types, step by step.
import { BPE } from "./bpe.js";
import { element, start, stepper } from "./frame.js";

function show(place, { tokenizer, text }) {
  const bpe = new BPE(tokenizer);
  const input = element("input", { type: "text", value: text, maxlength: 80, "aria-label": "Text", input: read });
  const list = element("ol", { class: "words" }), told = element("p", { role: "status" });
  const steps = stepper("Step", (step) => `after ${step} merges`, draw);
  let words = [];

  function read() {
    words = bpe.words(input.value).map((word) => bpe.mergeSteps(word));
    steps.restart(Math.max(0, ...words.map((all) => all.length - 1)));
  }
  function draw(step) {
    list.replaceChildren(...words.map((all) => {
      const now = all[Math.min(step, all.length - 1)], next = bpe.next(now);
      const made = step > 0 && step < all.length ? bpe.next(all[step - 1]).pair.join("") : null;
      const chips = now.map((symbol) =>
        element("span", { class: symbol === made ? "chip new" : "chip", title: `id ${bpe.ids.get(symbol)}` }, symbol));
      const words = next ? `next: ${next.pair.join(" + ")}, merge ${next.place + 1}` : `ids ${now.map((s) => bpe.ids.get(s)).join(" ")}`;
      return element("li", {}, element("span", { class: "chips" }, ...chips), element("span", { class: "value" }, words));
    }));
    const tokens = words.reduce((sum, all) => sum + all[Math.min(step, all.length - 1)].length, 0);
    told.textContent = `${tokens} tokens for ${new TextEncoder().encode(input.value).length} bytes; Ġ is a space.`;
  }
  place.append(element("label", { class: "typed" }, element("span", {}, "Text"), input), steps.root, list, told);
  read();
}

start("merges", show);
