// The forward pass of a ViT, and what its class token looked at.
import { add, decodeAll, layerNorm, linear, softmax, transformerLayer, within } from "./arrays.js";

export const readViT = ({ config, weights }) => ({ ...config, weights: decodeAll(weights) });

/** Rows of grey levels -> N patches, row by row, each of P · P numbers. */
export function patchify(image, P) {
  const patches = [];
  for (let y = 0; y < image.length; y += P) {
    for (let x = 0; x < image[0].length; x += P) {
      patches.push(image.slice(y, y + P).flatMap((row) => row.slice(x, x + P)));
    }
  }
  return patches;
}

/** The probabilities of the classes, and of each layer and head the attention (N + 1, N + 1). */
export function forward({ weights: w, patch, layers, heads, eps, activation }, image) {
  let X = linear(patchify(image, patch), w["projection.weight"], w["projection.bias"]);
  X = add([w["class_token"][0][0], ...X], w["position"][0]); // [class] in front, and positions
  const maps = [];
  for (let i = 0; i < layers; i++) {
    const [next, map] = transformerLayer(X, within(w, `layers.${i}.`), { heads, eps, activation });
    X = next;
    maps.push(map);
  }
  const features = layerNorm([X[0]], w["norm.weight"], w["norm.bias"], eps);
  const logits = linear(features, w["head.weight"], w["head.bias"])[0];
  return { probabilities: softmax(logits), maps };
}

/** The product over the layers of (mean over the heads + identity) / 2 (Abnar and Zuidema 2020). */
export function rollout(maps) {
  let result = null;
  for (const heads of maps) {
    const step = heads[0].map((row, i) => row.map((_, j) =>
      (heads.reduce((sum, head) => sum + head[i][j], 0) / heads.length + (i === j)) / 2));
    result = result === null ? step
      : step.map((row) => result[0].map((_, j) => row.reduce((sum, x, k) => sum + x * result[k][j], 0)));
  }
  return result;
}
