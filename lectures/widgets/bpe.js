// Byte-pair encoding: from text to tokens, with merges that were learnt elsewhere.

/** 256 visible characters, one a byte; a byte that Latin-1 prints is its own letter. */
function byteLetters() {
  const printed = (b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  const bytes = Array.from({ length: 256 }, (_, b) => b);
  const hidden = bytes.filter((b) => !printed(b));
  return [...bytes.filter(printed).map((b) => [b, String.fromCharCode(b)]),
    ...hidden.map((b, i) => [b, String.fromCharCode(256 + i)])];
}
export const LETTERS = byteLetters(); // in the order of the first 256 token ids
const LETTER = new Map(LETTERS);

export const GPT2_WORDS = // a space goes with the word on its right
  /'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Both without a pair joined: ["l", "l", "l"] with "l", "l" -> ["ll", "l"]. */
function merge(symbols, [a, b]) {
  const out = [];
  for (let i = 0; i < symbols.length; i++) {
    const here = symbols[i] === a && symbols[i + 1] === b;
    out.push(here ? a + b : symbols[i]);
    i += here;
  }
  return out;
}

export class BPE {
  /** merges: ["h e", ...], first merge first; special: tokens that no text is merged into. */
  constructor({ merges, special, endOfWord = "" }, pattern = GPT2_WORDS) {
    Object.assign(this, { merges, endOfWord, pattern });
    this.place = new Map(merges.map((pair, i) => [pair, i]));
    const letters = LETTERS.map(([, letter]) => letter);
    const symbols = new Set([...letters, ...(endOfWord ? letters.map((x) => x + endOfWord) : []),
      ...merges.map((pair) => pair.replace(" ", "")), ...special]);
    this.ids = new Map([...symbols].map((symbol, i) => [symbol, i]));
  }

  words(text) { return text.match(this.pattern) ?? []; }

  /** The symbols of a word before any merge, one a byte. */
  spell(word) {
    const symbols = Array.from(new TextEncoder().encode(word), (byte) => LETTER.get(byte));
    symbols.push(symbols.pop() + this.endOfWord);
    return symbols;
  }

  /** The next merge of these symbols, the one that was learnt first; or null. */
  next(symbols) {
    let first = null;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const place = this.place.get(`${symbols[i]} ${symbols[i + 1]}`);
      if (place !== undefined && (first === null || place < first.place)) {
        first = { place, pair: [symbols[i], symbols[i + 1]] };
      }
    }
    return first;
  }

  /** The symbols of a word: one a byte, then after each merge. */
  mergeSteps(word) {
    const steps = [this.spell(word)];
    for (let found; (found = this.next(steps.at(-1))); ) steps.push(merge(steps.at(-1), found.pair));
    return steps;
  }

  tokens(text) { return this.words(text).flatMap((word) => this.mergeSteps(word).at(-1)); }

  encode(text) { return this.tokens(text).map((symbol) => this.ids.get(symbol)); }
}
