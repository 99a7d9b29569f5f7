"""Damage to files, drawn from a generator: to bytes, to the values of JSON, to the lines and fields of text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

ODD_NUMBERS = (
    0,
    1,
    2,
    5,
    7,
    12,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
ODD_VALUES = (
    *("null", "true", "false", "0", "-1", "0.5", "-0.0", "1e-300", "1e308", "1e400", "-1e400", "NaN", "Infinity"),
    *("2147483648", "9223372036854775808", "1e18", "1" + "0" * 400, "9" * 5000, "[" * 100_000 + "]" * 100_000),
    *('""', '"x"', '"1"', '"\\ud800"', '"\\u0000"', '"../up"', '"' + "long" * 200 + '"', '"é"'),
    *("[]", "{}", "[[]]", '[{"a": []}]', '{"a": {"b": null}}', "[1, 2, 3, 4]", '[null, "x", NaN, 1e400]'),
)
"""As JSON text, since no writer would write some of them."""
ODD_FIELDS = (*ODD_VALUES[:19], "", " ", "x", "0x10", "1_000", "٣", "\0", "a,b", "=", "[", "%(x)s", "\ufeff1")


def damage(random: Random, path: Path) -> None:
    """Damages one file in place, as what its name says it is or as bytes; one in thirty is lost."""
    if random.random() < 1 / 30:
        path.unlink()
        return
    content = path.read_bytes()
    change = _BY_SUFFIX.get(path.suffix, damage_bytes) if random.random() < 0.8 else damage_bytes
    path.write_bytes(change(random, content))


def damage_bytes(random: Random, content: bytes) -> bytes:
    """One to four of the changes below; a tenth of all files end too early as well."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        if data:
            random.choice(_CHANGES)(random, data, _place(random, len(data)))
    if random.random() < 0.1:
        del data[_place(random, len(data)) :]
    return bytes(data)


def damage_json(random: Random, content: bytes) -> bytes:
    """Replaces, drops or repeats one to three values anywhere in a document."""
    document, texts = {"": json.loads(content)}, {}
    for number in range(random.choice((1, 1, 2, 3))):
        holder, key = _walk(random, document)
        mark = f"@{number}@"
        change = random.random()
        if change < 0.1 and key != "":
            del holder[key]
        elif change < 0.2 and isinstance(holder, dict) and key != "":  # the same key a second time
            holder[mark], texts[mark] = random.choice(ODD_NUMBERS), json.dumps(key)
        elif change < 0.3:  # a value of elsewhere in the document, which may well be of the right kind
            other, there = _walk(random, document)
            holder[key] = json.loads(json.dumps(other[there]))
        elif change < 0.4 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key], texts[mark] = mark, random.choice(ODD_VALUES)
    text = json.dumps(document[""])
    for mark, odd in texts.items():
        text = text.replace(f'"{mark}"', odd)
    return text.encode()


def damage_lines(random: Random, content: bytes) -> bytes:
    """Drops, repeats, cuts or joins one to three lines, or replaces a field of one."""
    lines = content.decode(errors="surrogateescape").split("\n")
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(lines))
        fields = re.split(r"([,=:\s]+)", lines[at])
        field = 2 * random.randrange((len(fields) + 1) // 2)
        replaced = [*fields[:field], random.choice(ODD_FIELDS), *fields[field + 1 :]]
        cut = lines[at][: random.randrange(len(lines[at]) + 1)]
        for_line: list[str] = random.choice(
            ([], [lines[at]] * 2, [cut], [random.choice(ODD_FIELDS)], *[["".join(replaced)]] * 6)
        )
        lines[at : at + 1] = for_line
        lines = lines or [""]
    return "\n".join(lines).encode(errors="surrogateescape")


def damage_json_line(random: Random, content: bytes) -> bytes:
    """Damages one line of a file of JSON lines as JSON, or all as lines."""
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    if random.random() < 0.4 or not lines[at]:
        return damage_lines(random, content)
    return b"\n".join([*lines[:at], damage_json(random, lines[at]), *lines[at + 1 :]])


def _walk(random: Random, document: Any) -> Any:
    """A value as (holder, key): down from the top, so that the few of a kind are met as often as the many."""
    holder, key = document, ""
    while holder[key] and isinstance(holder[key], dict | list) and random.random() < 0.85:
        holder = holder[key]
        key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    return holder, key


def _place(random: Random, size: int) -> int:
    """Anywhere, but rather near the beginning or the end, where formats say what they hold."""
    kind, draw = random.randrange(4), random.random()
    if kind < 2 or size < 2:
        return int(size * draw)
    near = int(size**draw)
    return near if kind == 2 else size - near


def _flip(random: Random, data: bytearray, at: int) -> None:
    data[min(at, len(data) - 1)] ^= 1 << random.randrange(8)


def _any_byte(random: Random, data: bytearray, at: int) -> None:
    data[min(at, len(data) - 1)] = random.randrange(256)


def _number(random: Random, data: bytearray, at: int) -> None:
    size = random.choice((2, 4, 8))
    number = random.choice(ODD_NUMBERS) % 2 ** (8 * size)
    data[at : at + size] = number.to_bytes(size, random.choice(("little", "big")))


def _code(random: Random, data: bytearray, at: int) -> None:
    """The next small number of two bytes becomes another: types, counts and turns are such."""
    found = _SMALL.search(data, at)
    if found:
        place = found.start() + (data[found.start()] == 0)
        data[place] = random.randrange(16)


def _remove(random: Random, data: bytearray, at: int) -> None:
    del data[at : at + random.choice((1, 2, 4, 8, 64, 512))]


def _insert(random: Random, data: bytearray, at: int) -> None:
    data[at:at] = random.choice((random.randbytes(4), bytes(8), b"\xff" * 16, random.randbytes(64)))


def _copy(random: Random, data: bytearray, at: int) -> None:
    size, source = random.choice((2, 4, 8, 32, 256)), _place(random, len(data))
    data[at : at + size] = data[source : source + size]


def _letter(random: Random, data: bytearray, at: int) -> None:
    """A letter of the next text becomes another, or one of Latin-1: names of codecs, titles, keys."""
    text = _TEXT.search(data, at) or _TEXT.search(data)
    if text:
        data[random.randrange(*text.span())] = random.choice((0xE9, random.randrange(97, 123)))


_SMALL = re.compile(rb"\0[\x01-\x0f]|[\x01-\x0f]\0")
_TEXT = re.compile(rb"[A-Za-z_]{4,}")
_CHANGES: tuple[Callable[[Random, bytearray, int], None], ...] = (
    *(_flip, _any_byte, _number, _code, _remove, _insert, _copy, _letter),
)
_BY_SUFFIX = {".json": damage_json, ".jsonl": damage_json_line, ".txt": damage_lines, ".ini": damage_lines}
