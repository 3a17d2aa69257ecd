// A ViT that reads a digit drawn in the page: its probabilities, and where each head looks.
import { asImage, digitOf } from "./digit.js";
import { bars, choice, element, heat, percent, slider, start } from "./frame.js";
import { forward, readViT, rollout } from "./vit.js";

const MINE = "mine";

/** A pad of 32 x 32 to draw on, by mouse, finger or keyboard. changed(strokes). */
function drawingPad(changed) {
  const ink = element("path", { class: "ink" }), pen = element("circle", { r: 1, class: "pen" });
  const pad = element("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" }, ink, pen);
  const root = element("div", { class: "pad", tabindex: 0, role: "application",
    "aria-label": "Draw a digit: the arrow keys move the pen, space puts it down and lifts it" }, pad);
  let strokes = [], down = false, at = [16, 8];

  function draw(told = true) {
    ink.setAttribute("d", strokes.map((s) => `M${s.map(([x, y]) => `${x} ${y}`).join("L")}l0 0.01`).join(""));
    pen.setAttribute("cx", at[0]);
    pen.setAttribute("cy", at[1]);
    if (told) changed(strokes);
  }
  function touch(event, begins) {
    const box = pad.getBoundingClientRect();
    at = [32 * (event.clientX - box.left) / box.width, 32 * (event.clientY - box.top) / box.height];
    begins ? strokes.push([at]) : strokes.at(-1).push(at);
    draw();
  }
  root.addEventListener("pointerdown", (event) => {
    root.setPointerCapture(event.pointerId);
    down = true;
    touch(event, true);
  });
  root.addEventListener("pointermove", (event) => { if (down && event.buttons) touch(event, false); });
  root.addEventListener("pointerup", () => { down = false; });
  root.addEventListener("pointercancel", () => { down = false; });
  root.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2] }[event.key] ?? [0, 0];
    if (event.key === " ") {
      down = !down;
      if (down) strokes.push([at]);
    } else if (dx || dy) {
      at = [Math.max(2, Math.min(30, at[0] + dx)), Math.max(2, Math.min(30, at[1] + dy))];
      if (down) strokes.at(-1).push(at);
    } else return;
    event.preventDefault();
    draw(down || event.key === " ");
  });
  draw(false);
  return { root, clear() { strokes = []; down = false; draw(false); } };
}

function show(place, { model, digits }) {
  const vit = readViT(model), n = 8 / vit.patch;
  const said = bars("Probabilities"), told = element("p", { role: "status" });
  const pixels = heat(8, 8), whole = heat(n, n);
  const maps = Array.from({ length: vit.layers }, () => Array.from({ length: vit.heads }, () => heat(n, n)));
  let result = null;
  const pad = drawingPad((strokes) => { which.set(MINE); read(digitOf(strokes)); });
  const which = choice("Digit", [...digits.map((d, i) => [i, `a ${d.label} of the test set`]), [MINE, "my own"]], reset);
  const clear = element("button", { type: "button", click: () => { which.set(MINE); reset(MINE); } }, "Clear");
  const looks = slider("Who looks", { min: 0, max: n * n, step: 1, value: 0 },
    (i) => (i ? `patch ${i} of ${n * n}` : "[class]"), draw);

  function reset(value) {
    pad.clear();
    read(value === MINE ? digitOf([]) : digits[value].levels);
  }
  function read(levels) {
    result = forward(vit, asImage(levels));
    pixels.show(levels.flat(), "The digit, 8 × 8 pixels");
    const p = result.probabilities, best = p.indexOf(Math.max(...p));
    said.show(p.map((share, i) => ({ name: `${i}`, share, says: percent(share) })));
    told.textContent = `Read as ${best}, ${percent(p[best])}`;
    draw();
  }
  function draw() {
    const i = looks.value;
    const look = (map, words) => {
      const patches = map[i].slice(1), most = patches.indexOf(Math.max(...patches));
      return [patches, `${words}: most at patch ${most + 1}, ${percent(patches[most])}; ${percent(map[i][0])} at [class]`];
    };
    maps.forEach((heads, l) => heads.forEach((shown, h) =>
      shown.show(...look(result.maps[l][h], `Layer ${l + 1}, head ${h + 1}`))));
    whole.show(...look(rollout(result.maps), "All layers, rollout"));
  }
  const under = (words, root) => element("figure", {}, root, element("figcaption", {}, words));
  place.append(
    element("div", { class: "stepper" }, which.root, clear),
    element("div", { class: "drawn" }, under("draw here", pad.root), under("8 × 8 pixels", pixels.root),
      under("rollout", whole.root)),
    told, said.root, looks.root,
    element("div", { class: "maps" }, ...maps.flatMap((heads, l) =>
      heads.map((shown, h) => under(`layer ${l + 1}, head ${h + 1}`, shown.root)))));
  reset(0);
}

start("attention", show);
