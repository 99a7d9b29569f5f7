"""Settings are nested frozen dataclasses: read from JSON strictly, changed by `--set a.b=value`, never silently.

The range of a number is part of its type, such as `Count`, and is checked wherever settings come from outside. A plain
`int` or `float` may be anything from 0 on, and a list needs an entry unless it is `MayBeEmpty`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from personsearch.errors import SettingError

S = TypeVar("S")


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`, both included; without `low` itself when `above`."""

    low: float = 0
    high: float = 1e38
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and not (self.above and value == self.low)  # NaN is in no range

    def __str__(self) -> str:
        if self.high == Range.high:
            return f"a number above {_number(self.low)}" if self.above else f"{_number(self.low)} or more"
        return f"a number {'above' if self.above else 'from'} {_number(self.low)} up to {_number(self.high)}"


def _number(value: float) -> str:
    """As it may be written where it is asked for: a whole number has no exponent."""
    return str(value) if isinstance(value, int) else f"{value:g}"


MayBeEmpty = object()
"""Marks a list that may have no entries."""
Count = Annotated[int, Range(1, 10**9)]
LARGEST_SEED = 2**31
Seed = Annotated[int, Range(0, LARGEST_SEED)]
Side = Annotated[int, Range(1, 20_000)]
"""Pixels of a picture that a network sees."""
ScenesAStep = Annotated[int, Range(1, 1000)]
PeopleAStep = Annotated[int, Range(1, 10_000)]
"""Of a batch: more than fits any memory is refused, not tried."""
Width = Annotated[int, Range(1, 8192)]
"""Channels of a layer."""
Part = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(above=True)]


def settings_to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain JSON values."""
    return {f.name: _plain(getattr(settings, f.name)) for f in fields(settings)}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as one level of dotted names.

    >>> flat({"optimizer": {"rate": 0.1}, "seed": 0})
    {'optimizer.rate': 0.1, 'seed': 0}
    """
    level: dict[str, Any] = {}
    for key, value in values.items():
        level |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return level


def settings_from_dict(kind: type[S], values: Mapping[str, Any], prefix: str = "") -> S:
    """The inverse of `settings_to_dict`. Missing keys take defaults; unknown keys raise SettingError. Its message calls
    a setting by its name after `prefix`."""
    hints = get_type_hints(kind, include_extras=True)
    known = {key: _converted(prefix + key, value, _hint(key, hints, prefix + key)) for key, value in values.items()}
    return kind(**known)


def has_setting(settings: Any, name: str) -> bool:
    """
    >>> from personsearch.losses.criteria import LossSettings
    >>> has_setting(LossSettings(), "oim.scalar"), has_setting(LossSettings(), "oim.speed")
    (True, False)
    """
    first, _, rest = name.strip().partition(".")
    if not is_dataclass(settings) or first not in {field.name for field in fields(settings)}:
        return False
    return not rest or has_setting(getattr(settings, first), rest)


def change_settings(settings: S, changes: Iterable[str]) -> S:
    """A copy with changes such as `optimizer.rate=0.01`; the value is JSON, or else taken as text. A group of settings,
    such as `optimizer={"rate": 0.01}`, changes what it names and leaves the rest.

    >>> from personsearch.losses.oim import OIMSettings
    >>> change_settings(OIMSettings(), ["scalar=30"]).scalar
    30.0
    """
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise SettingError(f"--set {change}: write it as name=value, for example optimizer.rate=0.01")
        settings = _changed(settings, path.strip().split("."), text.strip(), path.strip())
    _refuse_impossible(settings)
    return settings


def _refuse_impossible(settings: Any, prefix: str = "") -> None:
    """Raises SettingError where settings that are possible alone are not so together: a group says so itself, by
    `impossible(self) -> str | None`."""
    told = settings.impossible() if hasattr(settings, "impossible") else None
    if told is not None:
        raise SettingError(f"{prefix.removesuffix('.')}: {told}")
    for field in fields(settings):
        if is_dataclass(inner := getattr(settings, field.name)):
            _refuse_impossible(inner, f"{prefix}{field.name}.")


def _changed(settings: S, path: list[str], text: str, whole: str) -> S:
    name, *rest = path
    hint = _hint(name, get_type_hints(type(settings), include_extras=True), whole)
    if rest:
        inner = getattr(settings, name)
        if not is_dataclass(inner):
            raise SettingError(f"{whole}: {name} has no settings of its own; write {name}=value")
        return replace(settings, **{name: _changed(inner, rest, text, whole)})  # type: ignore[type-var]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # also for numbers of thousands of digits, and lists in lists in lists
        value = text
    if is_dataclass(before := getattr(settings, name)) and isinstance(value, Mapping):
        value = _over(settings_to_dict(before), value)
    return replace(settings, **{name: _converted(whole, value, hint)})  # type: ignore[type-var]


def _over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, with some of them changed."""
    told = {
        key: _over(values[key], value) if isinstance(value, Mapping) and isinstance(values.get(key), Mapping) else value
        for key, value in changes.items()
    }
    return {**values, **told}


def _hint(name: str, hints: Mapping[str, Any], whole: str | None = None) -> Any:
    if name in hints:
        return hints[name]
    near = difflib.get_close_matches(name, hints, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise SettingError(f"unknown setting {whole or name}: {guess}known here: {', '.join(hints)}")


def _converted(name: str, value: Any, hint: Any) -> Any:
    """JSON value to the hinted type."""
    hint, marks = _parted(hint)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return settings_from_dict(hint, value, f"{name}.")
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        inner = get_args(hint)
        if inner[-1] is Ellipsis:
            if not value and MayBeEmpty not in marks:
                raise SettingError(f"{name}: give one value or more, such as [1]")
            return tuple(_converted(name, v, inner[0]) for v in value)
        if len(inner) == len(value):
            return tuple(_converted(name, v, h) for v, h in zip(value, inner, strict=True))
    if hint in (int, float) and type(value) in (int, hint):
        (allowed,) = marks or (Range(0, 10**9) if hint is int else Range(),)
        if value not in allowed:
            told = f"{allowed.high:g} or less" if value > allowed.high == Range.high else allowed
            raise SettingError(f"{name} {_brief(value)} is impossible: give {told}")
        return hint(value)
    if hint in (str, bool) and type(value) is hint:
        return value
    raise SettingError(f"{name}: {_brief(value)} is not {_describe(hint)}")


def _brief(value: Any) -> str:
    """A value in a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits, a list in very many lists
        text = "such a value"
    return text if len(text) <= 60 else f"{text[:50]}…{text[-1]}"


def _parted(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type, and its annotations: none for a plain type."""
    return (get_args(hint)[0], hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def _describe(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a list such as [{', '.join(_parted(a)[0].__name__ for a in get_args(hint) if a is not Ellipsis)}]"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        hint, "a group of settings"
    )


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return settings_to_dict(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value
