"""Byte-pair encoding: join the pair of neighbours that occurs most often; repeat.

    bpe = BPE.train(["low lower lowest"], vocab_size=260)
    bpe.merges                  # [('l', 'o'), ('lo', 'w'), ('Ġ', 'low'), ...]
    list(bpe.merge_steps("low"))  # [['l', 'o', 'w'], ['lo', 'w'], ['low']]
    bpe.decode(bpe.encode("höher 🎈")) == "höher 🎈"

It starts from the 256 bytes, so there is no text without tokens. Sennrich et al. 2016, section
3.2, on characters; Radford et al. 2019 (GPT-2), section 2.2, on bytes.
"""

import heapq
import json
import operator
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from minivit import files
from minivit.engine.errors import CheckpointError, TextError
from minivit.engine.record import function
from minivit.text.base import Tokenizer, read_lines, read_text
from minivit.text.words import BYTE, LETTER, checked_text, count_words, gpt2_pattern, spell_bytes


def merge(symbols, pair, joined):
    """`symbols` with each neighbouring `pair`, from left to right, replaced by `joined`."""
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            out.append(joined)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


@function
def learn_merges_plainly(words, alphabet, join=operator.add):
    """Yield ((left, right), count): the algorithm as the paper prints it. Count all pairs of all
    words, join the most frequent everywhere, and again.

    words: {tuple of symbols: how often that word occurs}; alphabet: their symbols. Equal counts:
    the pair of the oldest symbols. `learn_merges` yields the same, sooner.
    """
    age = {symbol: i for i, symbol in enumerate(alphabet)}
    while True:
        counts = Counter()
        for symbols, n in words.items():
            for pair in pairwise(symbols):
                counts[pair] += n
        if not counts:
            return
        pair = min(counts, key=lambda pair: (-counts[pair], age[pair[0]], age[pair[1]]))
        yield pair, counts[pair]
        age.setdefault(join(*pair), len(age))
        merged = Counter()
        for symbols, times in words.items():
            merged[tuple(merge(list(symbols), pair, join(*pair)))] += times
        words = merged


@function
def learn_merges(words, alphabet, join=operator.add):
    """Yield ((left, right), count) as `learn_merges_plainly` does, without counting all again.

    Only words that hold the pair are counted again, and only pairs with the new symbol can have
    become more frequent, so these alone go onto the heap; an entry whose pair became rarer is put
    back.
    """
    symbols = list(alphabet)
    age = {symbol: i for i, symbol in enumerate(symbols)}  # symbols are ints inside
    spellings = [[age[symbol] for symbol in word] for word in words]
    times = list(words.values())
    count, where = defaultdict(int), defaultdict(set)  # of each pair: occurrences, words
    for word, spelling in enumerate(spellings):
        for pair in pairwise(spelling):
            count[pair] += times[word]
            where[pair].add(word)
    heap = [(-n, pair) for pair, n in count.items()]
    heapq.heapify(heap)
    while heap:
        n, pair = heapq.heappop(heap)
        if -n != count[pair]:
            if 0 < count[pair] < -n:
                heapq.heappush(heap, (-count[pair], pair))
            continue
        left, right = symbols[pair[0]], symbols[pair[1]]
        yield (left, right), -n
        joined = join(left, right)
        new = age.setdefault(joined, len(symbols))  # the alphabet may hold it already
        if new == len(symbols):
            symbols.append(joined)
        grown = set()
        for word in where.pop(pair):
            for old in pairwise(spellings[word]):
                count[old] -= times[word]
            spellings[word] = merge(spellings[word], pair, new)
            for now in pairwise(spellings[word]):
                count[now] += times[word]
                if new in now:
                    where[now].add(word)
                    grown.add(now)
        for now in grown:
            heapq.heappush(heap, (-count[now], now))


class BPE(Tokenizer):
    """A byte-level vocabulary and its merges, with GPT-2's words; reads and writes its files.

    vocab: {symbol: id}, the ids being 0 .. V-1; merges: pairs of symbols, first merge first;
    special_tokens: symbols of `vocab` that no text is merged into, such as "<|endoftext|>".
    Symbols spell bytes by letters ("Ġthe" is " the"); ids are in `ids`, symbols in `symbols`.
    """

    end_of_word = ""  # what the last symbol of a word ends in: CLIP says "</w>"

    @function
    def __init__(self, vocab, merges, special_tokens=()):
        super().__init__(vocab, special_tokens)
        self.merges = [tuple(pair) for pair in merges]
        self._check()
        # pair of ids -> rank, the place in `merges`; and rank -> id of what the pair becomes
        self._rank = {(self.ids[a], self.ids[b]): i for i, (a, b) in enumerate(self.merges)}
        self._joined = [self.ids[a + b] for a, b in self.merges]
        self._bytes = [self._bytes_of(symbol) for symbol in self.symbols]

    # -- the plain algorithm -----------------------------------------------------------------------
    def merge_steps(self, word):
        """Yield the symbols of `word`: one a byte, then after each merge, the earliest first.

        `encode` gives the last of these steps, sooner.
        """
        symbols = list(self.spell(checked_text(word, "word"))) if word else []
        place = {pair: i for i, pair in enumerate(self.merges)}
        yield symbols
        while pairs := [pair for pair in pairwise(symbols) if pair in place]:
            first = min(pairs, key=place.get)
            symbols = merge(symbols, first, "".join(first))
            yield symbols

    # -- training ----------------------------------------------------------------------------------
    @classmethod
    def alphabet(cls):
        """The symbols before any merge, in the order of their ids."""
        letters = list(LETTER.values())
        return letters + [x + cls.end_of_word for x in letters] if cls.end_of_word else letters

    @classmethod
    def learn(cls, texts):
        """Yield ((left, right), count) of the merges that `texts` teach, one by one."""
        words = count_words(texts, cls.words)
        return learn_merges({cls.spell(x): n for x, n in words.items()}, cls.alphabet())

    @classmethod
    def train(cls, texts, vocab_size, special_tokens=()):
        """Learn merges until there are `vocab_size` tokens, or no pair is left in `texts`.

        Ids: the alphabet, then the merges in order, then the special tokens.
        """
        symbols = dict.fromkeys(cls.alphabet())
        least = len(symbols) + len(special_tokens)
        if vocab_size < least:
            raise TextError(
                f"vocab_size: got {vocab_size}, expected at least {least}: {len(symbols)} for the "
                f"alphabet of bytes and {len(special_tokens)} special tokens"
            )
        merges = []
        for pair, _ in cls.learn(texts):
            if len(symbols) + len(special_tokens) >= vocab_size:
                break
            merges.append(pair)
            symbols["".join(pair)] = None
        taken = [token for token in special_tokens if token in symbols]
        if taken or len(set(special_tokens)) < len(special_tokens):
            raise TextError(
                f"special_tokens: {taken or list(special_tokens)} would stand twice in the "
                "vocabulary. Give names that no text has, such as '<|endoftext|>'."
            )
        vocab = {symbol: i for i, symbol in enumerate([*symbols, *special_tokens])}
        return cls(vocab, merges, special_tokens)

    # -- text to ids -------------------------------------------------------------------------------
    @staticmethod
    def words(text):
        """The pieces of `text` that are encoded on their own."""
        return gpt2_pattern().findall(text)

    @classmethod
    def spell(cls, word):
        """The symbols of `word` before any merge, as a tuple: one a byte."""
        *first, last = spell_bytes(word)
        return *first, last + cls.end_of_word

    def _ids_of(self, word):
        """The ids of one word: a linked list of symbols, and a heap of the merges that it offers.

        n log n, where trying all pairs again after each merge is n². `ids` ends in a -1 that is
        in no pair; it stands after the last symbol and, being at index -1, before the first.
        """
        ids = [self.ids[symbol] for symbol in self.spell(word)] + [-1]
        rank, joined = self._rank, self._joined
        after, before = [*range(1, len(ids)), -1], [*range(-1, len(ids) - 1)]
        heap = [(rank[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in rank]
        heapq.heapify(heap)
        while heap:
            best, i = heapq.heappop(heap)
            j = after[i]
            if rank.get((ids[i], ids[j])) != best:
                continue  # one of the two has been merged since
            ids[i], ids[j] = joined[best], -1
            after[i] = after[j]
            before[after[j]] = i
            for left in (before[i], i):
                pair = ids[left], ids[after[left]]
                if pair in rank:
                    heapq.heappush(heap, (rank[pair], left))
        return [i for i in ids if i >= 0]

    # -- ids to text -------------------------------------------------------------------------------
    def decode(self, ids):
        """The text of a sequence of ids; bytes that are no UTF-8 come out as U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids):
        """The bytes of a sequence of ids: a token may end inside a character."""
        return b"".join([self._bytes[i] for i in self._checked(ids)])

    def _bytes_of(self, symbol):
        if symbol in self.special_tokens:
            return symbol.encode()
        letters = symbol.removesuffix(self.end_of_word)
        return bytes(BYTE[x] for x in letters) + b" " * (letters != symbol)

    # -- files -------------------------------------------------------------------------------------
    def save(self, folder):
        """Write vocab.json and merges.txt into `folder`: each is there whole, or as it was."""
        folder = Path(folder)
        lines = ["#version: 0.2", *(f"{a} {b}" for a, b in self.merges)]
        files.write_whole(folder / "merges.txt", "\n".join(lines) + "\n")
        files.write_whole(folder / "vocab.json", json.dumps(self.ids, ensure_ascii=False))

    @classmethod
    def load(cls, vocab, merges=None, special_tokens=None):
        """Read a folder that `save` wrote, or a public vocab.json and merges.txt by their paths.

        GPT-2's own names for the two are encoder.json and vocab.bpe. special_tokens: those of the
        vocabulary's entries that are special (default: the ones written <...> or [...]).
        """
        if merges is None:
            vocab, merges = Path(vocab, "vocab.json"), Path(vocab, "merges.txt")
        ids = read_json(vocab)
        lines = read_lines(merges)
        header = bool(lines) and lines[0].startswith("#version")
        pairs = [tuple(line.split(" ")) for line in lines[header:]]
        for number, pair in enumerate(pairs, 1 + header):
            if len(pair) != 2 or not all(pair):
                raise CheckpointError(
                    f"{merges}, line {number}: got {' '.join(pair)!r}, expected two symbols with "
                    "a space between"
                )
        if special_tokens is None:
            made = {a + b for a, b in pairs}.union(cls.alphabet())
            special_tokens = [t for t in ids if t not in made and t[:1] + t[-1:] in ("<>", "[]")]
        try:
            return cls(ids, pairs, special_tokens)
        except TextError as error:
            raise CheckpointError(f"{vocab} and {merges} do not fit together: {error}") from None

    def _check(self):
        """Refuse a vocabulary that could fail later: each token is a byte, a merge, or special."""
        made = set(self.alphabet())
        if missing := made - self.ids.keys():
            raise TextError(f"vocab: lacks the byte {min(missing)!r}")
        for rank, (a, b) in enumerate(self.merges):
            if unknown := [symbol for symbol in (a, b) if symbol not in made]:
                raise TextError(
                    f"merges[{rank}]: {a!r} + {b!r} uses {unknown[0]!r}, which is neither a byte "
                    "nor the result of an earlier merge"
                )
            if a + b not in self.ids:
                raise TextError(f"merges[{rank}]: vocab lacks the result {a + b!r}")
            made.add(a + b)
        if len(set(self.merges)) < len(self.merges):
            raise TextError("merges: a pair stands there twice")
        if clash := made.intersection(self.special_tokens):
            raise TextError(f"special_tokens: {sorted(clash)[0]!r} is the result of a merge")
        if strange := self.ids.keys() - made - set(self.special_tokens):
            raise TextError(
                f"vocab: {len(strange)} tokens, such as {min(strange, key=self.ids.get)!r}, are "
                "neither bytes nor results of merges. If they are special tokens, name them in "
                "special_tokens; else merges are missing."
            )


def read_json(path):
    """A JSON object {symbol: id}."""
    try:
        ids = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not whole JSON ({error})") from None
    if not isinstance(ids, dict) or not all(type(i) is int for i in ids.values()):
        raise CheckpointError(f"{path}: expected an object {{symbol: id}}")
    return ids
