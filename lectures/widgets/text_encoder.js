// CLIP's text encoder: from a typed label to a vector of length 1.
import { add, decodeAll, dot, layerNorm, transformerLayer, within } from "./arrays.js";
import { BPE } from "./bpe.js";

// Letters, single digits, and runs of the rest, without U+0345, as the original; spaces fall away.
export const CLIP_WORDS = /'(?:[stmdſ]|re|ve|ll)|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}\u0345]+/gu;

/** As CLIP was trained: straight quotes, one space, lower case. (The original mends more: broken
 *  encodings and HTML.) */
export const clean = (text) => text.normalize("NFC").replace(/[\u02bc\u2018-\u201b]/gu, "'").replace(/[\u201c-\u201f]/gu, '"')
  .replace(/\p{White_Space}+/gu, " ").trim().toLowerCase();

export function readTextEncoder({ config, weights, tokenizer }) {
  const bpe = new BPE(tokenizer, CLIP_WORDS);
  return { ...config, bpe, weights: decodeAll(weights) };
}

/** [SOS], the tokens, [EOS]: at most `context` ids; what does not fit is cut off. */
export function tokenize({ bpe, context }, text) {
  const [SOS, EOS] = ["<|startoftext|>", "<|endoftext|>"].map((token) => bpe.ids.get(token));
  return [SOS, ...bpe.encode(clean(text)).slice(0, context - 2), EOS];
}

export function unit(v) {
  const length = Math.sqrt(dot(v, v));
  return v.map((x) => x / length);
}

/** The text's vector: read at [EOS], projected, length 1. */
export function encodeText(encoder, text) {
  const { weights: w, layers, heads, eps, activation } = encoder;
  const ids = tokenize(encoder, text);
  let X = add(ids.map((id) => w["token_embedding.weight"][id]), w["positional_embedding"]);
  for (let i = 0; i < layers; i++) {
    [X] = transformerLayer(X, within(w, `layers.${i}.`), { heads, eps, activation, causal: true });
  }
  const [T_f] = layerNorm([X.at(-1)], w["ln_final.weight"], w["ln_final.bias"], eps);
  return unit(w["W_t"][0].map((_, j) => dot(T_f, w["W_t"].map((row) => row[j]))));
}
