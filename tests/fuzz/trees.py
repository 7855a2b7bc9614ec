"""JSON changed as a tree: values of other types, extreme numbers, hostile text, keys gone, twice or unknown, deep nesting."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from tests.fuzz.mutations import MAX_BYTES, mutate_bytes

HOSTILE = (
    "", " ", "none", "None", "null", "nan", "true", "0", "-1", "1e9", "A", "../../etc/passwd", "/", "~", "a/b", "a\\b", "%s{}",
    "\0", "\x1b[31mred\x1b[0m", "a\r\nb", "\ud800", "\u202egnp.exe", "\u2066\u200b\ufeff", "\N{PILE OF POO}", "e\u0301",
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"'><b>", "{{ 7 * 7 }}", "{% raw %}", "]]>", "-->",
    "'''\"\"\"\\", "`code` **bold** | a | [x](javascript:alert(1))", "x" * 10_000, "\N{GREEK SMALL LETTER ALPHA}" * 3_000,
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 100, 101, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(10**400), 0.5, 1.0,
    -0.0, 1e-300, 5e-324, 1e16, 1e300, 1.7e308, float("nan"), float("inf"), float("-inf"), [], {}, [[]], [None], {"": 0},
    ["none"], [1, 1], *HOSTILE,
)  # fmt: skip

_MOST = 100_000  # places in a tree that are looked at


def mutate_json(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """`data`, if it is JSON, after one to four changes of its tree, now and then of its text; else as bytes."""
    if random.random() < 0.15:
        return mutate_bytes(random, data, corpus)
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(random, data, corpus)
    for _ in range(min(4, 1 + int(random.expovariate(1)))):
        tree = changed(random, tree)
    text = json.dumps(tree, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.1:
        text = _written_oddly(random, text)
    return text.encode("utf-8", "surrogatepass")[:MAX_BYTES]


def mutate_numbers(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """`data`, if it is JSON, with one to three numbers replaced by others of their type; now and then as `mutate_json`."""
    if random.random() < 0.3:
        return mutate_json(random, data, corpus)
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_json(random, data, corpus)
    numbers = [(holder, key) for holder, key in _places(tree) if type(holder[key]) in (int, float)]
    for holder, key in random.sample(numbers, min(len(numbers), random.randint(1, 3))):
        pool = [value for value in ODD if type(value) is type(holder[key])]
        holder[key] = random.choice((*pool, holder[key] * 2, holder[key] * 10, -holder[key], random.random()))
    return json.dumps(tree).encode()


def changed(random: Random, tree: Any) -> Any:
    """`tree` with one thing in it changed."""
    places = list(itertools.islice(_places(tree), _MOST))
    if not places:
        return random.choice(ODD)
    holder, key = random.choice(places)
    random.choice(_CHANGES)(random, holder, key, places)
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    pending = [tree]
    while pending:
        node = pending.pop()
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()):
            yield node, key
            pending.append(value)


def _replace(random: Random, holder: Any, key: Any, places: Any) -> None:
    holder[key] = random.choice(ODD)


def _scale(random: Random, holder: Any, key: Any, places: Any) -> None:
    value = holder[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _retype(random, holder, key, places)
    holder[key] = random.choice((-value, value + 1, value - 1, value // 3, min(1e308, max(-1e308, value)), str(value), [value]))
    return None


def _retype(random: Random, holder: Any, key: Any, places: Any) -> None:
    value = holder[key]
    holder[key] = random.choice((str(value)[:200], [value], {"x": value}, json.dumps(value, default=str)[:200]))


def _remove(random: Random, holder: Any, key: Any, places: Any) -> None:
    del holder[key]


def _add(random: Random, holder: Any, key: Any, places: Any) -> None:
    if isinstance(holder, dict):
        holder[random.choice((*HOSTILE, f"{key}s"))] = random.choice(ODD)
    else:  # many of a container would be a case without bounds after some generations
        holder.extend([holder[key]] * random.choice((1, 2) if isinstance(holder[key], (list, dict)) else (1, 2, 40, 3000)))


def _widen(random: Random, holder: Any, key: Any, places: Any) -> None:
    many = 50 if len(places) > 1_000 else random.choice((50, 50, 50, 5_000, 5_000, 50_000))
    holder[key] = random.choice(({f"k{n}": n for n in range(many)}, [f"k{n}" for n in range(many)], list(range(many))))


def _swap(random: Random, holder: Any, key: Any, places: Any) -> None:
    other, name = random.choice(places)
    holder[key] = json.loads(json.dumps(other[name])[:20_000]) if len(json.dumps(other[name])) <= 20_000 else None


def _hostile(random: Random, holder: Any, key: Any, places: Any) -> None:
    if isinstance(holder[key], str):
        holder[key] = random.choice((random.choice(HOSTILE), holder[key] + random.choice(HOSTILE)))
    else:
        _replace(random, holder, key, places)


_CHANGES: tuple[Callable[[Random, Any, Any, Any], None], ...] = (_replace, _replace, _scale, _retype, _remove, _add, _swap)
_CHANGES += (_hostile, _hostile, _replace, _remove, _scale, _widen)


def _written_oddly(random: Random, text: str) -> str:
    """JSON as no `json.dumps` writes it: keys twice, numbers of thousands of digits, deep nesting, white space, a mark."""
    start = text.find(":") + 1
    return random.choice(
        (
            text.replace("{", "{" + text[1:start] + "0,", 1) if start else text,
            text.replace(": 1", ": 1" + "0" * 5_000, 1),
            text.replace(": 0", ": 0." + "9" * 5_000 + "e-999999", 1),
            "[" * 30_000 + text + "]" * 30_000,
            text[:start] + '{"a":' * 30_000 + "0" + "}" * 30_000 + text[start:],
            "\ufeff" + text,
            text + " " * 50_000,
            text + text,
            text.replace('"', "'"),
            text[:start] + "// comment\n" + text[start:],
            text.replace("\\u", "\\U"),
        )
    )
