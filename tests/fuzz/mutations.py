"""Cases from cases: bytes changed, numbers replaced by extreme ones, parts cut out, doubled, and taken from other cases."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

MAX_BYTES = 1 << 20  # of a case
NUMBERS = (0, 1, 2, 3, 7, 8, 16, 64, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31)
NUMBERS += (2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)


def mutate_bytes(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """`data` after one to eight changes."""
    for _ in range(min(8, 1 + int(random.expovariate(0.7)))):
        data = random.choice(_CHANGES)(random, data, corpus)
    return data[:MAX_BYTES]


def with_tokens(*tokens: bytes) -> object:
    """As `mutate_bytes`, with words of the format put in now and then."""

    def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
        if random.random() < 0.5:
            start, end = _span(random, data, 6)
            data = data[:start] + random.choice(tokens) + data[random.choice((start, end)) :]
            if random.random() < 0.5:
                return data[:MAX_BYTES]
        return mutate_bytes(random, data, corpus)

    return mutate


def _span(random: Random, data: bytes, longest: int) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.randint(1, longest))


def _flip(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _byte(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + bytes([random.choice((0, 1, 127, 128, 254, 255, random.randrange(256)))]) + data[at + 1 :]


def _number(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    size = random.choice((1, 2, 4, 8))
    value = random.choice((*NUMBERS, len(data), random.getrandbits(64))) % (1 << 8 * size)
    at = random.randint(0, max(0, len(data) - size))
    return data[:at] + value.to_bytes(size, random.choice(("little", "big"))) + data[at + size :]


def _early(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A number in the first bytes, where headers are."""
    return _number(random, data[:64], corpus) + data[64:]


def _cut(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    start, end = _span(random, data, 1 << random.randrange(1, 10))
    return data[:start] + data[end:]


def _double(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    start, end = _span(random, data, 1 << random.randrange(1, 10))
    times = random.choice((2, 2, 3, 10, 300))
    return data[:start] + data[start:end] * times + data[end:]


def _insert(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.randbytes(random.randint(1, 16)) + data[at:]


def _end_early(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return data[: random.randint(0, len(data))]


def _splice(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = random.choice(corpus)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


_CHANGES = (_flip, _flip, _byte, _byte, _number, _number, _early, _cut, _double, _insert, _end_early, _splice)
