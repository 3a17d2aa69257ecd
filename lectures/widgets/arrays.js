// Arrays of numbers, and what a Transformer does with them. A matrix is an array of rows.

export function softmax(z) {
  const largest = Math.max(...z);
  const e = z.map((x) => Math.exp(x - largest));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export const add = (X, Y) => X.map((x, i) => x.map((value, j) => value + Y[i][j]));

/** X Wᵀ + b: each row of X times each row of W. */
export const linear = (X, W, b) => X.map((x) => W.map((w, j) => dot(x, w) + (b ? b[j] : 0)));

/** Each row to mean 0 and variance 1, times gamma, plus beta. */
export function layerNorm(X, gamma, beta, eps) {
  return X.map((x) => {
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    return x.map((value, i) => ((value - mean) / Math.sqrt(variance + eps)) * gamma[i] + beta[i]);
  });
}

export const ACTIVATIONS = {
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
};

/** One head: the attention weights softmax(Q Kᵀ / √d), and what comes out, weights times V.
 *  causal: a token sees itself and those before it. */
export function attention(Q, K, V, causal) {
  const d = Q[0].length;
  const weights = Q.map((q, i) =>
    softmax(K.map((k, j) => (causal && j > i ? -Infinity : dot(q, k) / Math.sqrt(d)))));
  return [weights, weights.map((row) => V[0].map((_, c) => dot(row, V.map((v) => v[c]))))];
}

/** A pre-LN layer: X + MhSa[LayerNorm[X]], then X + mlp[LayerNorm[X]]. w: the weights, by name.
 *  Returns the new X, and the attention weights of each head. */
export function transformerLayer(X, w, { heads, eps, activation, causal = false }) {
  const D = X[0].length, d = D / heads, maps = [];
  const qkv = linear(layerNorm(X, w["ln_1.weight"], w["ln_1.bias"], eps),
    w["attn.in_proj_weight"], w["attn.in_proj_bias"]); // (N, 3 D)
  const joined = X.map(() => []);
  for (let h = 0; h < heads; h++) {
    const [Q, K, V] = [0, D, 2 * D].map((at) =>
      qkv.map((row) => row.slice(at + h * d, at + (h + 1) * d)));
    const [weights, out] = attention(Q, K, V, causal);
    maps.push(weights);
    out.forEach((row, i) => joined[i].push(...row));
  }
  X = add(X, linear(joined, w["attn.out_proj.weight"], w["attn.out_proj.bias"]));
  const normed = layerNorm(X, w["ln_2.weight"], w["ln_2.bias"], eps);
  const hidden = linear(normed, w["mlp.fc1.weight"], w["mlp.fc1.bias"])
    .map((row) => row.map(ACTIVATIONS[activation]));
  return [add(X, linear(hidden, w["mlp.fc2.weight"], w["mlp.fc2.bias"])), maps];
}

// -- weights as text ------------------------------------------------------------------------------
/** The number that 16 bits stand for: 1 bit sign, 5 bits exponent, 10 bits fraction. */
export function float16(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
}

/** {shape, float16: base64} as nested arrays. */
export function decode({ shape, float16: text }) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const numbers = Array.from(new Uint16Array(bytes.buffer), float16);
  const nest = (values, [rows, ...rest]) => rest.length === 0 ? values
    : Array.from({ length: rows }, (_, i) => {
      const size = values.length / rows;
      return nest(values.slice(i * size, (i + 1) * size), rest);
    });
  return shape.length ? nest(numbers, shape) : numbers[0];
}

/** {name: nested arrays} of {name: {shape, float16}}. */
export const decodeAll = (weights) =>
  Object.fromEntries(Object.entries(weights).map(([name, array]) => [name, decode(array)]));

/** The weights whose names begin with `prefix`, without it. */
export const within = (weights, prefix) =>
  Object.fromEntries(Object.entries(weights).filter(([name]) => name.startsWith(prefix))
    .map(([name, array]) => [name.slice(prefix.length), array]));
