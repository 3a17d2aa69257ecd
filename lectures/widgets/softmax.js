// Softmax and exp(t): how sure a model is of a few cosines depends on what they are multiplied by.
import { softmax } from "./arrays.js";
import { bars, element, percent, slider, start } from "./frame.js";

export const probabilities = (cosines, t) => softmax(cosines.map((c) => c * Math.exp(t)));

/** In nats: ln n where all n are alike, 0 where one has everything. */
export const entropy = (p) => -p.reduce((sum, q) => sum + (q > 0 ? q * Math.log(q) : 0), 0);

function show(place, { names, cosines, t }) {
  const shown = bars("Probabilities"), told = element("p", { role: "status" });
  const scale = slider("t", { min: 0, max: 4.6, step: 0.05, value: t },
    (t) => `exp(t) = ${Math.exp(t).toFixed(1)}`, update);
  const sliders = names.map((name, i) => slider(`cosine with “${name}”`,
    { min: -1, max: 1, step: 0.01, value: cosines[i] }, (c) => c.toFixed(2).replace("-", "−"), update));
  function update() {
    const p = probabilities(sliders.map((s) => s.value), scale.value);
    shown.show(p.map((share, i) => ({ name: names[i], share, says: percent(share) })));
    told.textContent = `Entropy ${entropy(p).toFixed(3)} nats; all alike would be ${Math.log(p.length).toFixed(3)}.`;
  }
  place.append(scale.root, shown.root, told, ...sliders.map((s) => s.root));
  update();
}

start("softmax", show);
