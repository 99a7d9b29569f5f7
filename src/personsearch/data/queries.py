"""Who is searched for, and where: queries for scenes whose data does not bring its own."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from personsearch.data.records import UNLABELED, Person, Query, Scene

MIN_VISIBLE = 0.5
"""Least visible part of the person in a sight that becomes a query."""
MIN_HEIGHT = 40.0
"""Least height of its box, in pixels."""
NO_QUERIES = (
    f"has no queries: nobody with an identity is seen well, {MIN_HEIGHT:g} pixels high and half visible, in two of its "
    "test scenes"
)
"""What is wrong with a benchmark in which nobody can be searched for."""


def derive_queries(scenes: Sequence[Scene], gallery_size: int) -> tuple[Query, ...]:
    """One query for each identity that is seen well in at least two of the scenes, in order of identities.

    It is the most visible sight. Its gallery is every other scene that holds the identity, well seen or not, and
    other scenes by chance up to `gallery_size`. The same scenes in the same order give the same queries.
    """
    sights: dict[int, list[tuple[str, Person]]] = defaultdict(list)
    for scene in scenes:
        for person in scene.persons:
            if person.identity != UNLABELED and _seen_well(person):
                sights[person.identity].append((scene.name, person))
    holding = scenes_holding(scenes)
    queries = []
    for identity in sorted(sights):
        seen = sights[identity]
        if len({name for name, _ in seen}) < 2:
            continue
        best = max(person.visible for _, person in seen)
        name, person = random.Random(identity).choice([one for one in seen if one[1].visible == best])
        positives = holding[identity] - {name}
        others = [scene.name for scene in scenes if scene.name not in holding[identity]]
        gallery = draw_gallery(positives, (others,), gallery_size, identity)
        queries.append(Query(name, person.box, identity, _in_order(scenes, gallery)))
    return tuple(queries)


def resize_gallery(query: Query, scenes: Sequence[Scene], holding: set[str], size: int) -> tuple[str, ...]:
    """The query's gallery cut or filled up to `size` by chance, in order of scenes.

    Its scenes that hold the identity always stay; scenes that hold it and were not in the gallery never enter.
    """
    listed = set(query.gallery)
    within = [scene.name for scene in scenes if scene.name in listed - holding]
    beyond = [scene.name for scene in scenes if scene.name not in listed | holding | {query.scene}]
    return _in_order(scenes, draw_gallery(listed & holding, (within, beyond), size, query.identity))


def draw_gallery(positives: set[str], pools: Iterable[Sequence[str]], size: int, seed: int) -> set[str]:
    """All `positives`, and names drawn from one pool after the other until there are `size`."""
    chosen = set(positives)
    chance = random.Random(seed)
    for pool in pools:
        chosen.update(chance.sample(pool, min(len(pool), max(0, size - len(chosen)))))
    return chosen


def queries_by_scene(queries: Sequence[Query]) -> dict[str, list[int]]:
    """Indices into `queries` by the scene that shows the query, so that its picture is read once."""
    indices: dict[str, list[int]] = defaultdict(list)
    for index, query in enumerate(queries):
        indices[query.scene].append(index)
    return dict(indices)


def scenes_holding(scenes: Iterable[Scene]) -> Mapping[int, set[str]]:
    """Names of the scenes that hold each identity; an empty set for any other."""
    holding: dict[int, set[str]] = defaultdict(set)
    for scene in scenes:
        for person in scene.persons:
            if person.identity != UNLABELED:
                holding[person.identity].add(scene.name)
    return holding


def _seen_well(person: Person) -> bool:
    return person.visible >= MIN_VISIBLE and person.box[3] - person.box[1] >= MIN_HEIGHT


def _in_order(scenes: Sequence[Scene], names: set[str]) -> tuple[str, ...]:
    return tuple(scene.name for scene in scenes if scene.name in names)
