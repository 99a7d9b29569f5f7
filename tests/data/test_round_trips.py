"""What is written is read back by each layout's reader, and through chains of them, for benchmarks by chance."""

import random
from dataclasses import replace

import pytest
from PIL import Image

from personsearch.data.layouts.coco import load_coco, save_coco
from personsearch.data.layouts.cuhk_sysu import load_cuhk_sysu
from personsearch.data.layouts.cuhk_sysu_writer import save_cuhk_sysu
from personsearch.data.layouts.prw import load_prw
from personsearch.data.layouts.prw_writer import save_prw
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene

SEEDS = range(6)
NAMES = [
    "{}",
    "ä/{}",
    "12:30:{}",
    "c:{}",
    "a b/{}",
    "new\nline{}",
    "#{}%20",
    "back\\slash{}",
    ".hidden{}",
    "x" * 200 + "{}",
]


def _person(chance, width, height, identity):
    """Fractions of pixels or none, one pixel to the whole picture, and often at its border."""
    x1, y1 = chance.choice((0.0, width - 1.0, chance.uniform(0, width - 1))), chance.uniform(0, height - 1)
    x2 = min(width, x1 + chance.choice((1, chance.uniform(1, width))))
    y2 = chance.choice((float(height), min(height, y1 + chance.uniform(1, height))))
    box = (x1, y1, x2, y2)
    if chance.random() < 0.3:
        box = (float(int(x1)), float(int(y1)), float(int(x1) + 1), float(int(y1) + 1))
    return Person(tuple(map(float, box)), identity, chance.choice((1.0, round(chance.random(), 3))))


def _scene(chance, folder, number, identities, repeats):
    width, height = chance.randint(2, 90), chance.randint(2, 90)
    suffix = chance.choice((".jpg", ".png", ".jpeg"))
    path = folder / f"{number}{suffix}"
    Image.new("RGB", (width, height), (number, 9, 9)).save(path)
    drawn = chance.choices(identities, k=4) if repeats else chance.sample(identities, 3)
    persons = [_person(chance, width, height, who) for who in [*drawn, UNLABELED, UNLABELED][: chance.randint(0, 6)]]
    chance.shuffle(persons)
    camera, time = chance.choice((None, 0, 5, 77)), chance.choice((None, 0.0, chance.uniform(0, 1e6)))
    return Scene(
        chance.choice(NAMES).format(number) + suffix, ImageFile(path), width, height, tuple(persons), camera, time
    )


def _renumbered(person, present):
    return replace(person, identity=present.index(person.identity) if person.identity in present else UNLABELED)


def random_benchmark(seed, folder, *, repeats):
    """With `repeats` someone may stand in a picture twice, as in PRW."""
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    train = [_scene(chance, folder, n, range(4), repeats) for n in range(chance.choice((0, 1, 4)))]
    test = [_scene(chance, folder, n, range(100, 105), repeats) for n in range(10, 10 + chance.randint(2, 7))]
    present = sorted({p.identity for s in train for p in s.persons} - {UNLABELED})
    train = [replace(scene, persons=tuple(_renumbered(p, present) for p in scene.persons)) for scene in train]
    queries = []
    for scene in test:
        for person in scene.persons:
            holding = [s.name for s in test if s is not scene and any(p.identity == person.identity for p in s.persons)]
            if person.identity != UNLABELED and holding:
                others = [s.name for s in test if s is not scene and s.name not in holding]
                gallery = [*holding, *chance.sample(others, chance.randint(0, len(others)))]
                queries.append(
                    Query(scene.name, person.box, person.identity, tuple(chance.sample(gallery, len(gallery))))
                )
    return Benchmark("chance", tuple(train), len(present), tuple(test), tuple(queries))


def _assert_same(first, second, *, names=None, galleries=True, digits=6, details=True):
    """All of two benchmarks but where their pictures lie; `names` takes the names of the first to the second's."""
    names = names or {s.name: s.name for s in (*first.train, *first.test)}
    assert (len(first.train), first.identities) == (len(second.train), second.identities)
    for one, other in zip((*first.train, *first.test), (*second.train, *second.test), strict=True):
        assert (names[one.name], one.width, one.height) == (other.name, other.width, other.height)
        assert [p.identity for p in one.persons] == [p.identity for p in other.persons]
        for person, same in zip(one.persons, other.persons, strict=True):
            assert person.box == pytest.approx(same.box, abs=10**-digits)
            assert not details or person.visible == same.visible
        assert not details or (one.camera, one.time) == (other.camera, other.time)
        assert other.read().size == one.read().size
    for asked, again in zip(first.queries, second.queries, strict=True):
        assert (names[asked.scene], asked.identity) == (again.scene, again.identity)
        assert asked.box == pytest.approx(again.box, abs=10**-digits)
        if galleries:
            assert [names[name] for name in asked.gallery] == list(again.gallery)


def _written_names(first, second):
    """By their order: a layout that names pictures itself keeps it."""
    scenes = ((*first.train, *first.test), (*second.train, *second.test))
    return {one.name: other.name for one, other in zip(*scenes, strict=True)}


@pytest.mark.parametrize("seed", SEEDS)
def test_coco_holds_everything(tmp_path, seed):
    made = random_benchmark(seed, tmp_path / "made", repeats=True)
    save_coco(made, tmp_path / "coco")
    loaded = load_coco(tmp_path / "coco")
    _assert_same(made, loaded)
    save_coco(loaded, tmp_path / "coco", force=True)
    save_coco(loaded, tmp_path / "again")
    _assert_same(loaded, load_coco(tmp_path / "coco"))
    _assert_same(loaded, load_coco(tmp_path / "again"))


@pytest.mark.parametrize("seed", SEEDS)
def test_prw_to_coco_and_back(tmp_path, seed):
    made = random_benchmark(seed, tmp_path / "made", repeats=True)
    save_prw(made, tmp_path / "prw")
    prw = load_prw(tmp_path / "prw")
    _assert_same(made, prw, names=_written_names(made, prw), galleries=False, details=False)
    save_coco(prw, tmp_path / "coco")
    coco = load_coco(tmp_path / "coco")
    _assert_same(prw, coco)
    save_prw(coco, tmp_path / "again")
    _assert_same(prw, load_prw(tmp_path / "again"))


@pytest.mark.parametrize("seed", SEEDS)
def test_cuhk_sysu_to_coco_and_back(tmp_path, seed):
    made = random_benchmark(seed, tmp_path / "made", repeats=False)
    asked = {query.identity for query in made.queries}
    save_cuhk_sysu(made, tmp_path / "cuhk")
    cuhk = load_cuhk_sysu(tmp_path / "cuhk")
    test = tuple(  # its identities live in the queries alone
        replace(scene, persons=tuple(p if p.identity in asked else Person(p.box) for p in scene.persons))
        for scene in made.test
    )
    expected = replace(made, test=test)
    names = _written_names(made, cuhk)
    _assert_same(expected, cuhk, names=names, galleries=False, digits=-0.31, details=False)
    for query, again in zip(made.queries, cuhk.queries, strict=True):
        assert {names[name] for name in query.gallery} <= set(again.gallery), "filled up to the size of its file"
    save_coco(cuhk, tmp_path / "coco")
    coco = load_coco(tmp_path / "coco")
    _assert_same(cuhk, coco)
    save_cuhk_sysu(coco, tmp_path / "again")
    _assert_same(cuhk, load_cuhk_sysu(tmp_path / "again"))


def test_people_of_one_box_stay_two(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    picture = ImageFile(tmp_path / "a.png")
    boxes = [(1, 2, 21, 32), (1.2, 2.1, 21.2, 32.1), (0.9, 2.2, 21.1, 31.9)]
    first = Scene("a", picture, 40, 40, tuple(Person(box, who) for who, box in enumerate(boxes)))
    second = Scene("b", picture, 40, 40, (Person(boxes[0], 1),))
    queries = (Query("b", boxes[0], 1, ("a",)),)
    save_cuhk_sysu(Benchmark("twins", (), 0, (first, second), queries), tmp_path / "cuhk")
    (one, _) = load_cuhk_sysu(tmp_path / "cuhk").test
    assert [p.identity for p in one.persons] == [UNLABELED, 1, UNLABELED]
    assert [p.box for p in one.persons] == [(1, 2, 21, 32), (1, 2, 20, 32), (1, 2, 19, 32)]


@pytest.mark.parametrize(
    "save_and_load", [(save_prw, load_prw), (save_cuhk_sysu, load_cuhk_sysu), (save_coco, load_coco)]
)
def test_nobody_and_nothing_to_ask_for(tmp_path, save_and_load):
    save, load = save_and_load
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    scenes = (Scene("a", ImageFile(tmp_path / "a.png"), 40, 40), Scene("b", ImageFile(tmp_path / "a.png"), 40, 40))
    for train, test in ((scenes, ()), ((), scenes), (scenes[:1], scenes[1:])):
        folder = tmp_path / f"{len(train)}{len(test)}"
        save(Benchmark("empty", train, 0, test, ()), folder)
        loaded = load(folder)
        assert (len(loaded.train), loaded.identities, len(loaded.test)) == (len(train), 0, len(test))
        assert loaded.queries == ()
