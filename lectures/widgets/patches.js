// Patch size and sequence length: N = HW/P², and what attention costs.
import { choice, element, grouped, slider, start } from "./frame.js";

const C = 3; // channels
const BASE = { D: 768, mlp: 3072, layers: 12, classes: 1000 }; // ViT-Base

/** What a ViT-Base does with an image of side x side in patches of P x P. Operations: two for each
 *  multiply-add of the matrix products. */
export function counts(side, P, { D, mlp, layers, classes } = BASE) {
  const N = (side / P) ** 2, tokens = N + 1; // and [class]
  const attention = 2 * layers * 2 * tokens ** 2 * D; // scores, and means of values
  const rest = 2 * (N * P * P * C * D + layers * tokens * (4 * D * D + 2 * D * mlp) + D * classes);
  return { N, tokens, numbers: P * P * C, weights: tokens ** 2, attention, all: attention + rest };
}

/** The patch sides that divide an image of this side, 8 to half of it. */
export const sides = (side) =>
  Array.from({ length: side }, (_, i) => i + 1).filter((P) => side % P === 0 && P >= 8 && 2 * P <= side);

function show(place, { photo, alt }) {
  let P = 16, side = 224, n = 59;
  const picture = element("svg", { class: "photo", role: "img", click: pick });
  const one = element("svg", { class: "one", role: "img" });
  const list = element("ul"), told = element("div", { role: "status" }, list);
  const image = choice("Image", [224, 384, 96].map((s) => [s, `${s} × ${s} pixels`]), (value) => {
    side = +value;
    setPatch(sides(side).reduce((a, b) => (Math.abs(b - P) < Math.abs(a - P) ? b : a)));
  });
  const size = slider("Patch side P", { min: 0, max: 1, step: 1, value: 0 },
    (i) => `${sides(side)[i]} pixels`, (i) => setPatch(sides(side)[i]));
  const which = slider("Look at patch", { min: 1, max: 1, step: 1, value: 1 },
    (i) => `${i} of ${counts(side, P).N}`, (i) => { n = i - 1; draw(); });

  function setPatch(next) {
    P = next;
    n = Math.min(n, counts(side, P).N - 1);
    size.set({ max: sides(side).length - 1, value: sides(side).indexOf(P) });
    which.set({ max: counts(side, P).N, value: n + 1 });
    draw();
  }
  function pick(event) { // the patch under the mouse or the finger
    const box = picture.getBoundingClientRect(), h = side / P;
    const at = (share) => Math.max(0, Math.min(h - 1, Math.floor(share * h)));
    n = at((event.clientY - box.top) / box.height) * h + at((event.clientX - box.left) / box.width);
    which.set({ value: n + 1 });
    draw();
  }
  function draw() {
    const h = side / P, x = (n % h) * P, y = Math.floor(n / h) * P, c = counts(side, P);
    const whole = () => element("image", { href: photo, width: side, height: side });
    const grid = Array.from({ length: h - 1 }, (_, i) => `M${(i + 1) * P} 0V${side}M0 ${(i + 1) * P}H${side}`);
    picture.setAttribute("viewBox", `0 0 ${side} ${side}`);
    picture.setAttribute("aria-label", `${alt}, cut into ${h} × ${h} patches`);
    picture.replaceChildren(whole(), element("path", { d: grid.join("") }),
      element("rect", { x, y, width: P, height: P }));
    one.setAttribute("viewBox", `${x} ${y} ${P} ${P}`);
    one.setAttribute("aria-label", `Patch ${n + 1}, row ${y / P + 1}, column ${x / P + 1}`);
    one.replaceChildren(whole());
    const giga = (operations) => `${(operations / 1e9).toFixed(1)} · 10⁹`;
    list.replaceChildren(...[
      `N = HW/P² = ${side} · ${side} / ${P}² = ${grouped(c.N)} patches of P²C = ${grouped(c.numbers)} numbers`,
      `with [class] a sequence of ${grouped(c.tokens)} tokens`,
      `${grouped(c.weights)} attention weights a head`,
      `ViT-Base: ${giga(c.all)} operations an image, ${giga(c.attention)} of them (${(100 * c.attention / c.all).toFixed(0)}%) for attention's N²`,
    ].map((line) => element("li", {}, line)));
  }
  place.append(image.root, size.root, which.root,
    element("div", { class: "pictures" }, picture, one), told);
  setPatch(P);
}

start("patches", show);
