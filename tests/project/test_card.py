"""The card of weights: which sights are asked for, and how groups are told."""

import sys
from pathlib import Path

from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Person, Scene

sys.path.insert(0, str(Path(__file__).parents[2] / "research"))
from card import bounds, clear_sights, figures, natural


def scene(name: str, *persons: Person) -> Scene:
    return Scene(name, ImageFile(Path(name)), 100, 100, persons)


def test_every_clear_sight_of_somebody_seen_elsewhere_is_asked_for() -> None:
    clear, low = (0.0, 0.0, 20.0, 60.0), (0.0, 0.0, 20.0, 29.0)
    scenes = (
        scene("a", Person(clear, 1), Person(clear, 2), Person(clear, UNLABELED)),
        scene("b", Person(low, 1), Person(clear, 3, visible=0.2)),
        scene("c", Person(clear, 1, visible=0.4), Person(clear, 3)),
        scene("d"),
    )
    queries = clear_sights(scenes, size=3)
    assert [(query.scene, query.identity) for query in queries] == [("a", 1), ("c", 1), ("c", 3)]
    assert [len(query.gallery) for query in queries] == [3, 3, 3]
    assert {"b", "c"} <= set(queries[0].gallery)
    assert all(query.scene not in query.gallery for query in queries)


def test_groups_are_named_and_sorted_by_their_bounds() -> None:
    names = {bounds(value, 60, 100, unit=" pixels") for value in (10, 60, 99, 100, 500)}
    assert sorted(names, key=lambda words: (not words.startswith("below"), natural(words))) == [
        "below 60 pixels",
        "below 100 pixels",
        "100 pixels and more",
    ]


def test_queries_that_could_not_be_judged_are_left_out() -> None:
    assert figures([(0.5, 1), (None, None), (0.0, None)]) == "0.250 / 0.500"
