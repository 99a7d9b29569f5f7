import dataclasses
import itertools

import numpy as np
import pytest
import torch
from slow_rule import slow_search

from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.errors import DataError
from personsearch.evaluation import metrics
from personsearch.evaluation.cbgm import CBGM, rerank
from personsearch.evaluation.protocols import PROFILES, Rules, evaluate_detection, evaluate_search, labeled_boxes
from personsearch.geometry.detections import Detections


def scene(name, *persons):
    return Scene(name, None, 200, 200, tuple(Person(box, identity) for box, identity in persons))


def unit(rows):
    return torch.nn.functional.normalize(torch.as_tensor(rows, dtype=torch.float32), dim=1)


def detections(boxes, scores, embeddings):
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(boxes, torch.as_tensor(scores, dtype=torch.float32), unit(embeddings))


def random_case(seed, scenes=12, identities=4, dim=3):
    """A benchmark and answers full of ties, empty scenes, small boxes and boxes that are nearly right."""
    random = np.random.default_rng(seed)
    people, found = [], {}
    for index in range(scenes):
        ids = random.permutation(identities)[: random.integers(0, 4)].tolist() + [UNLABELED] * random.integers(0, 2)
        boxes = [_box(random) for _ in ids]
        if ids and random.random() < 0.3:  # the same person twice, perhaps in nearly the same place
            ids.append(ids[0])
            boxes.append(tuple(_shift(random, boxes[:1])) if random.random() < 0.5 else _box(random))
        people.append(scene(f"s{index}", *zip(boxes, ids, strict=True)))
        n = 0 if index == 3 else random.integers(0, 6)
        guesses = [_shift(random, boxes) if boxes and random.random() < 0.8 else _box(random) for _ in range(n)]
        embeddings = random.integers(1, 4, (n, dim))  # few values, so many are equal
        found[f"s{index}"] = detections(guesses, random.integers(2, 11, n) / 10, embeddings.reshape(n, dim))
    queries = []
    for one in people:
        for person in one.persons:
            gallery = [p.name for p in people if p.name != one.name and random.random() < 0.8]
            gallery += gallery[: random.integers(0, 2)] + [one.name] * random.integers(0, 2)
            held = {p.name for p in people if any(q.identity == person.identity for q in p.persons)}
            holds = bool(held & set(gallery))
            if person.identity != UNLABELED and holds:
                queries.append(Query(one.name, person.box, person.identity, gallery))
    benchmark = Benchmark("random", (), 0, tuple(people), tuple(queries))
    return benchmark, found, unit(random.integers(1, 4, (len(queries), dim)))


def _box(random):
    x, y = random.integers(0, 100, 2).tolist()
    return (float(x), float(y), float(x + random.integers(4, 40)), float(y + random.integers(8, 90)))


def _shift(random, boxes):
    return (np.array(boxes[random.integers(len(boxes))]) + random.integers(-6, 7, 4)).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_another_ranking_is_judged_by_the_same_rule(seed):
    benchmark, found, embeddings = random_case(seed)
    rules = Rules(own_scene=seed % 2 == 0)
    turned = embeddings.roll(1, dims=1)  # the ranking asks for somebody else
    told = evaluate_search(
        benchmark, found, embeddings, rules=rules, rank=lambda query, people: people.embeddings @ query.roll(1)
    )
    assert told == evaluate_search(benchmark, found, turned, rules=rules)
    unchanged = evaluate_search(benchmark, found, embeddings, rules=rules, rank=lambda _query, people: people.cosines)
    assert unchanged == evaluate_search(benchmark, found, embeddings, rules=rules)


def test_a_ranking_sees_the_people_of_the_gallery_alone():
    benchmark, found, embeddings = random_case(1)
    seen = []

    def rank(query, people):
        seen.append((query, people))
        return people.cosines

    evaluate_search(benchmark, found, embeddings, rank=rank)
    assert len(seen) == len(benchmark.queries)
    names = [one.name for one in benchmark.test]
    for asked, embedding, (query, people) in zip(benchmark.queries, embeddings, seen, strict=True):
        sure = {name: found[name][found[name].scores >= 0.5] for name in names if name in asked.gallery}
        sure.pop(asked.scene, None)
        whole = Detections.cat(sure.values())
        torch.testing.assert_close(people.embeddings, whole.embeddings.double())
        torch.testing.assert_close(people.scores, whole.scores.double())
        torch.testing.assert_close(people.cosines, whole.embeddings.double() @ embedding.double())
        assert [names[scene] for scene in people.scene_of] == [name for name in sure for _ in range(len(sure[name]))]
        torch.testing.assert_close(query, embedding.double())


@pytest.mark.parametrize("seed", range(20))
def test_search_is_the_slow_rule(seed):
    benchmark, found, embeddings = random_case(seed)
    rules = dataclasses.replace(PROFILES["seqnet" if seed % 3 else "strict"], score_threshold=0.5 if seed % 2 else 0.3)
    result = evaluate_search(benchmark, found, embeddings, rules=rules)
    precisions, ranks = slow_search(benchmark, found, embeddings, rules)
    assert result.average_precisions == pytest.approx(precisions, abs=1e-9)
    assert list(result.first_hits) == ranks
    judged = [(p, r) for p, r in zip(precisions, ranks, strict=True) if p is not None]
    assert result.mAP == pytest.approx(np.mean([p for p, _ in judged]), abs=1e-9)
    for k in (1, 5, 10):
        assert result.top(k) == pytest.approx(np.mean([r is not None and r <= k for _, r in judged]))
    assert 0 < result.mAP < 0.9  # the case is a hard one
    assert len(set(ranks)) > 3


@pytest.mark.parametrize("seed", range(10))
def test_many_hits_are_counted_like_few(seed, monkeypatch):
    case = random_case(seed)
    few = evaluate_search(*case)
    monkeypatch.setattr(metrics, "_FEW", 0)
    assert evaluate_search(*case) == few


def listed(gallery, *boxes):
    """A query for the first of `boxes` in scene a, where all of them lie; b holds the person, c does not."""
    box = boxes[0]
    own = scene("a", *((one, 5) for one in boxes))
    benchmark = Benchmark("own", (), 0, (own, scene("b", (box, 5)), scene("c")), (Query("a", box, 5, gallery),))
    found = {name: detections([box], [1.0], [[1.0, 0.0]]) for name in "ab"}
    found["a"] = detections(boxes, [1.0] * len(boxes), [[1.0, 0.0]] * len(boxes))
    return benchmark, {**found, "c": detections([box], [1.0], [[1.0, 0.1]])}, unit([[1.0, 0.0]])


def test_a_gallery_with_the_query_itself():
    box, other = (0, 0, 40, 80), (100, 0, 140, 80)
    strict, seqnet = PROFILES["strict"], PROFILES["seqnet"]
    assert evaluate_search(*listed(["a", "b", "c"], box), rules=strict).average_precisions == (1.0,)
    assert evaluate_search(*listed(["a", "b", "c"], box), rules=seqnet).average_precisions == (1.0,)
    missed = listed(["a", "b", "c"], box)
    missed[1]["b"] = Detections.empty(2)
    assert evaluate_search(*missed, rules=strict).mAP == 0
    assert evaluate_search(*missed, rules=seqnet).mAP == 0.5, "its own box is found"
    # with another box of the person in its scene that one is meant, and the query's own box is a wrong answer
    again = evaluate_search(*listed(["a", "b"], box, other), rules=seqnet)
    assert again.average_precisions == (pytest.approx(2 / 3),)


def test_a_query_with_only_itself_to_find_is_left_out():
    case = listed(["a", "c"], (0, 0, 40, 80))
    with pytest.raises(DataError, match="no query with anything to find but itself"):
        evaluate_search(*case)
    both = dataclasses.replace(
        case[0], queries=(*case[0].queries, dataclasses.replace(case[0].queries[0], gallery="b"))
    )
    result = evaluate_search(both, case[1], case[2].repeat(2, 1))
    assert (result.average_precisions, result.mAP, result.top1) == ((None, 1.0), 1.0, 1.0)


def test_the_ceiling_of_a_gallery_that_repeats_itself():
    case = listed(["b", "b", "c"], (0, 0, 40, 80))
    assert evaluate_search(*case, rules=PROFILES["strict"]).mAP == 1
    assert evaluate_search(*case, rules=PROFILES["seqnet"]).mAP == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_no_order_matters(seed):
    benchmark, found, embeddings = random_case(seed)
    first = evaluate_search(benchmark, found, embeddings)
    random = np.random.default_rng(seed)
    test = tuple(benchmark.test[i] for i in random.permutation(len(benchmark.test)))
    queries = tuple(dataclasses.replace(q, gallery=list(random.permutation(q.gallery))) for q in benchmark.queries)
    shuffled = {name: found[name][torch.from_numpy(random.permutation(len(found[name])))] for name in reversed(found)}
    benchmark = dataclasses.replace(benchmark, test=test, queries=queries)
    assert evaluate_search(benchmark, shuffled, embeddings) == first


def perfect_case():
    benchmark, _, _ = random_case(1)
    identity = torch.eye(16)
    found = {
        one.name: Detections(
            labeled_boxes(one), torch.ones(len(one.persons)), identity[[p.identity for p in one.persons]]
        )
        for one in benchmark.test
    }
    return benchmark, found, identity[[query.identity for query in benchmark.queries]]


def test_perfect_answers_are_worth_one():
    result = evaluate_search(*perfect_case())
    assert result.as_dict() == dict.fromkeys(("mAP", "top1", "top5", "top10", "detection_ap", "detection_recall"), 1.0)


def test_no_answers_are_worth_nothing():
    benchmark, found, embeddings = perfect_case()
    for nothing in (Detections.empty(16), Detections.empty(0)):
        result = evaluate_search(benchmark, dict.fromkeys(found, nothing), embeddings)
        assert set(result.as_dict().values()) == {0.0}


def test_a_model_that_says_nan_is_worth_nothing_and_does_not_spread_it():
    benchmark, found, embeddings = perfect_case()
    broken = {name: dataclasses.replace(one, embeddings=one.embeddings * torch.nan) for name, one in found.items()}
    for result in (
        evaluate_search(benchmark, broken, embeddings),
        evaluate_search(benchmark, found, embeddings * torch.nan),
    ):
        assert (result.mAP, result.top10, result.detection_ap) == (0, 0, 1)
    unsure = {name: dataclasses.replace(one, scores=one.scores * torch.nan) for name, one in found.items()}
    assert set(evaluate_search(benchmark, unsure, embeddings).as_dict().values()) == {0.0}


def test_inputs_come_back_unchanged():
    benchmark, found, embeddings = random_case(2)
    before = [(d.boxes.clone(), d.scores.clone(), d.embeddings.clone()) for d in found.values()]
    copy = embeddings.clone()
    evaluate_search(benchmark, found, embeddings)
    assert torch.equal(embeddings, copy)
    for (boxes, scores, vectors), after in zip(before, found.values(), strict=True):
        assert torch.equal(boxes, after.boxes)
        assert torch.equal(scores, after.scores)
        assert torch.equal(vectors, after.embeddings)


def one_query(box, guess, score=1.0):
    """One person of `box`, answered by one detection."""
    benchmark = Benchmark("one", (), 0, (scene("a", (box, 5)), scene("b", (box, 5))), (Query("a", box, 5, ["b"]),))
    found = {"a": Detections.empty(1), "b": detections([guess], [score], [[1.0]])}
    return benchmark, found, torch.ones(1, 1)


@pytest.mark.parametrize(
    ("rules", "figures"),
    [
        (Rules(), (1, 0.5)),
        (Rules(score_threshold=0.7), (0, 0.5)),
        (Rules(iou=0.7), (0, 0.5)),
        (Rules(iou=0.7, iou_margin=20.0), (1, 0.5)),
        (Rules(detection_threshold=0.7), (1, 0)),
        (Rules(detection_iou=0.7), (1, 0)),
    ],
)
def test_each_rule_is_read(rules, figures):
    case = one_query((0, 0, 100, 100), (0, 0, 100, 65), score=0.6)  # overlap 0.65; margin 20 asks for 0.69
    if rules.iou_margin == 20.0:
        case = one_query((0, 0, 100, 100), (0, 0, 100, 69.5), score=0.6)
    result = evaluate_search(*case, rules=rules)
    assert (result.mAP, result.detection_recall) == figures


def test_every_rule_has_its_test():
    assert {field.name for field in dataclasses.fields(Rules)} == {
        "score_threshold", "iou", "iou_margin", "detection_threshold", "detection_iou", "own_scene", "count_repeats",
        "cbgm",
    }  # fmt: skip


def test_small_people_ask_for_less_overlap():
    small = (0, 0, 10, 20)  # asks for 200 / (20 * 30) = 1/3
    assert evaluate_search(*one_query(small, (0, 0, 10, 7))).mAP == 1
    assert evaluate_search(*one_query(small, (0, 0, 10, 6))).mAP == 0


def test_a_scene_listed_twice_counts_once():
    benchmark, found, embeddings = random_case(4)
    twice = tuple(dataclasses.replace(q, gallery=[*q.gallery, *q.gallery[:3]]) for q in benchmark.queries)
    doubled = dataclasses.replace(benchmark, queries=twice)
    assert evaluate_search(doubled, found, embeddings) == evaluate_search(benchmark, found, embeddings)


def test_only_the_most_similar_box_on_the_person_is_right():
    box = (0, 0, 40, 80)
    benchmark, _, query = one_query(box, box)
    benchmark = dataclasses.replace(benchmark, queries=(dataclasses.replace(benchmark.queries[0], gallery=["b"]),))
    query = unit([[1.0, 0.0]])
    found = {
        "a": Detections.empty(2),
        "b": detections([(0, 0, 40, 79), box, (90, 90, 99, 99)], [1, 1, 1], [[3, 1], [1, 1], [2, 1]]),
    }
    result = evaluate_search(benchmark, found, query)
    assert (result.mAP, result.first_hits) == (1.0, (1,))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"queries": ()},
            "nobody with an identity is seen well, 40 pixels high and half visible, in two",
        ),
        ({"queries": (Query("a", (0, 0, 9, 9), 6, ["b"]),)}, "person 6 of a in a gallery without that person"),
        ({"queries": (Query("a", (0, 0, 9, 9), 5, []),)}, "a gallery without that person"),
        ({"queries": (Query("a", (0, 0, 9, 9), 5, ["z"]),)}, "searches in 'z', which is not a test scene"),
        ({"test": (scene("c"),)}, "detections of scene c are missing"),
    ],
)
def test_an_impossible_benchmark_is_one_clear_line(change, reason):
    benchmark, found, query = one_query((0, 0, 50, 50), (0, 0, 50, 50))
    with pytest.raises(DataError, match=reason):
        evaluate_search(dataclasses.replace(benchmark, **change), found, query)


def test_one_embedding_a_query():
    benchmark, found, _ = one_query((0, 0, 50, 50), (0, 0, 50, 50))
    with pytest.raises(ValueError, match="2 embeddings for 1 queries"):
        evaluate_search(benchmark, found, torch.ones(2, 1))


def test_detection_counts_labelled_and_unlabelled_people():
    people = [((0, 0, 20, 40), 3), ((50, 0, 70, 40), UNLABELED), ((100, 0, 120, 40), UNLABELED)]
    benchmark = Benchmark("d", (), 0, (scene("a", *people), scene("b")), ())
    boxes = [(0, 0, 20, 40), (0, 1, 20, 40), (50, 0, 70, 38), (150, 0, 170, 40)]
    found = {"a": detections(boxes, [0.9, 0.8, 0.7, 0.6], np.ones((4, 1))), "b": Detections.empty(1)}
    result = evaluate_detection(benchmark, found)
    assert result.recall == pytest.approx(2 / 3)
    assert result.ap == pytest.approx((1 + 2 / 3) / 3)


def test_detection_where_nobody_is():
    benchmark = Benchmark("d", (), 0, (scene("a"),), ())
    for found in (Detections.empty(1), detections([(0, 0, 9, 9)], [0.9], [[1.0]])):
        assert dataclasses.astuple(evaluate_detection(benchmark, {"a": found})) == (0, 0)
    with pytest.raises(DataError, match="no test scenes"):
        evaluate_detection(dataclasses.replace(benchmark, test=()), {})


def test_labeled_boxes():
    assert labeled_boxes(scene("a")).shape == (0, 4)
    assert labeled_boxes(scene("a", ((1, 2, 3, 4), 5))).tolist() == [[1, 2, 3, 4]]


# ------------------------------------------------------------------------------------------------- company


def slow_matching(cosines):
    """Of all one-to-one pairings the one with the largest sum."""
    people, answers = cosines.shape
    if people > answers:
        return [(p, a) for a, p in slow_matching(cosines.T)]
    best = max(itertools.permutations(range(answers), people), key=lambda a: sum(cosines[range(people), list(a)]))
    return list(enumerate(best))


@pytest.mark.parametrize("seed", range(10))
def test_reranking_is_the_slow_matching(seed):
    random = np.random.default_rng(seed)
    counts = random.integers(0, 5, 6)
    starts = np.concatenate([[0], np.cumsum(counts)])
    table, query = unit(random.normal(size=(starts[-1], 4))).double(), unit(random.normal(size=(1, 4))).double()[0]
    context = unit(random.normal(size=(3, 4))).double()
    scenes = [slice(a, b) for a, b in itertools.pairwise(starts)][1:]  # the first is not searched
    before = (table @ query).numpy()
    settings = CBGM(answers=4, people=3)
    expected = before.copy()
    top = sorted(range(starts[1], starts[-1]), key=lambda i: -before[i])[:4]
    for rows in scenes:
        if any(rows.start <= i < rows.stop for i in top):
            cosines = (torch.stack([query, *context[:2]]) @ table[rows].T).numpy()
            pairs = slow_matching(cosines)
            for person, answer in pairs:
                if person == 0:
                    expected[rows.start + answer] = max(cosines[p, a] for p, a in pairs)
    copy = before.copy()
    assert rerank(before, query, context, table, scenes, settings) == pytest.approx(expected)
    assert np.array_equal(before, copy)


def test_company_lifts_the_right_scene():
    """The query is nearer to somebody in c, but b also shows the friend of its own scene."""
    me, friend = (0, 0, 40, 80), (100, 0, 140, 80)
    scenes = (scene("a", (me, 5), (friend, 6)), scene("b", (me, 5), (friend, 6)), scene("c", (me, 7)))
    benchmark = Benchmark("company", (), 0, scenes, (Query("a", me, 5, ["b", "c"]),))
    found = {
        "a": detections([me, friend], [1, 1], [[1, 0, 0], [0, 1, 0]]),
        "b": detections([me, friend], [1, 1], [[1, 0, 1], [0, 1, 0]]),
        "c": detections([me], [1], [[1, 0, 0.5]]),
    }
    query = unit([[1.0, 0, 0]])
    assert evaluate_search(benchmark, found, query).first_hits == (2,)
    assert evaluate_search(benchmark, found, query, rules=Rules(cbgm=CBGM())).first_hits == (1,)
    nobody = {name: Detections.empty(3) for name in found}
    assert evaluate_search(benchmark, nobody, query, rules=Rules(cbgm=CBGM())).mAP == 0
