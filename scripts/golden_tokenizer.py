#!/usr/bin/env python3
"""Makes tests/golden/tokenizer/: a small vocabulary in GPT-2's files, and texts with their tokens, for
tests/io/test_tokenizer.c. The tokens come from the package `tokenizers` (Hugging Face); they are also computed here
after GPT-2's encoder.py, with the package `regex`, and the script fails where the two differ."""
import json
import os
import random

import regex
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

FOLDER = os.path.join(os.path.dirname(__file__), '..', 'tests', 'golden', 'tokenizer')
CORPUS = """The thalweg is the line of lowest elevation within a valley or watercourse. It's where the water is
deepest, and where it flows fastest; they'll say that the river's thalweg isn't always in the middle. We've
measured it 1234 times, you're welcome to measure it 5678 times more, and I'd say I'm done.
    for (int i = 0; i < count; i++) {
        total += value[i] * weight[i];
    }
Der Talweg ist die Verbindungslinie der tiefsten Punkte eines Tales. Über Flüsse, Bäche und Gräben läuft er abwärts.
Река течёт по долине. 河流在山谷中流动。 """
TEXTS = [
    '', ' ', 'a', '\n', 'the thalweg', ' the  thalweg   ', "It's where they'll say we've, I'd, I'm, you're, isn't",
    "IT'S 'quoted' ''s 'sun 's't'", 'x=1;y=22,z=333.4444', '    for (int i = 0; i < count; i++) {\n\t}\n\n',
    'tabs\t\tand\r\nlines\n \n  end \n', 'Über Flüsse und Gräben', 'Река течёт', '河流在山谷中流动',
    'emoji \U0001f600\U0001f680 and e\u0301 combining', '½ ² Ⅷ ٣٤ १२ numbers', 'no\u00a0break\u2003em\u3000wide space',
    'zero\x00byte \x01\x7f', '!!!???...---', ' ' * 9, 'a' * 40, 'thethethethethethethe', 'aªºÂ º', "don’t ‘quote’",
    '\u0085next\u1680ogham\u2028line', '\u200bzero width', 'ǅ ʰ ـ ー々〆', '𝒳𝟘 \U0001d7d8', "'", "''", "' s", " 's",
    'the\n\nthalweg \n thalweg', '\ufeffmark', 'flows'*30,
]
PATTERN = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")


def alphabet():
    bytes_ = [*range(ord('!'), ord('~') + 1), *range(0xa1, 0xad), *range(0xae, 0x100)]
    table = {b: chr(b) for b in bytes_}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(bytes_))
    return table


def encode(text, vocabulary, ranks, table):
    tokens = []
    for word in PATTERN.findall(text):
        parts = [table[b] for b in word.encode()]
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]), key=lambda pair: ranks.get(pair, float('inf')))
            if best not in ranks:
                break
            joined, i = [], 0
            while i < len(parts):
                if tuple(parts[i:i + 2]) == best:
                    joined.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    joined.append(parts[i])
                    i += 1
            parts = joined
        tokens += [vocabulary[part] for part in parts]
    return tokens


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([CORPUS, CORPUS], trainers.BpeTrainer(
        vocab_size=420, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    os.makedirs(FOLDER, exist_ok=True)
    tokenizer.model.save(FOLDER)
    vocabulary = json.load(open(os.path.join(FOLDER, 'vocab.json')))
    lines = open(os.path.join(FOLDER, 'merges.txt')).read().split('\n')[1:]
    ranks = {tuple(line.split()): i for i, line in enumerate(lines) if line}
    table, draw, texts = alphabet(), random.Random(1), list(TEXTS)
    pieces = list("aeit '’0½٣\n\t\u00a0\u3000Üя河\U0001f600.,-\u200b") + ["'s", "'ll", ' the', 'ing', '  ']
    texts += [''.join(draw.choice(pieces) for _ in range(draw.randrange(1, 60))) for _ in range(60)]
    with open(os.path.join(FOLDER, 'encodings.txt'), 'w') as file:
        for text in texts:
            tokens = tokenizer.encode(text).ids
            assert tokens == encode(text, vocabulary, ranks, table), repr(text)
            assert tokenizer.decode(tokens) == text, repr(text)
            file.write(f'{text.encode().hex() or "-"} {" ".join(map(str, tokens))}\n')


if __name__ == '__main__':
    main()
