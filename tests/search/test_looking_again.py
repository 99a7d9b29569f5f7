"""A second look finds whom the detector missed, boxes anew whom it boxed badly, and ranks by the gallery's cosines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from search_fakes import DIM, FakeModel, box_at, picture, save_pictures, save_video
from torch import Tensor
from typer.testing import CliRunner

from personsearch.cli.app import app
from personsearch.data.records import Benchmark, Box
from personsearch.errors import SettingError
from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights
from personsearch.geometry.detections import Detections
from personsearch.models.guided import Proposals
from personsearch.models.igpn_trunk import TrunkIGPNSettings, igpn_on
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import PROJECTIONS_FILE, Projections, fit_projection, save_projections
from personsearch.models.rpn import ProposalSettings
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_trunk, save_weights
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.completed import Completed, Found, who_stays
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.indexing import index_sources
from personsearch.search.looking_again import Asked, SecondLook, look_again
from personsearch.search.picking import Limits
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import READINGS, SceneEncoder
from personsearch.search.sources import Source
from personsearch.search.strangers import Strangers


class Careless(FakeModel):
    """Misses whoever stands right of 50, and cuts the legs off the rest."""

    def detect(self, image: Image.Image, score_threshold: float = 0.5) -> Detections:
        found = super().detect(image, score_threshold)
        found = found[found.boxes[:, 0] < 50]
        cut = found.boxes.clone()
        cut[:, 3] -= 15
        return replace(found, boxes=cut, embeddings=self.embed(image, cut) if len(cut) else found.embeddings)


@dataclass
class Guide:
    """A proposer that finds everybody; it says which scenes it was asked in."""

    asked_in: list[Image.Image] = field(default_factory=list)

    def encode_query(self, image: Image.Image, boxes: Sequence[Box]) -> None:
        return None

    def ready(self, kept: Image.Image) -> Image.Image:
        return kept

    def answer(self, scene: Image.Image, _query: object) -> list[Proposals]:
        self.asked_in.append(scene)
        boxes = FakeModel().detect(scene).boxes
        return [Proposals(boxes, torch.full((len(boxes),), 0.5))]


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Picture i shows the people i at 10, i + 1 at 60 and, in even pictures, 20 at 110."""
    made = Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM)
    with made:
        index_sources(made, encoder(), save_pictures(tmp_path / "pictures", 5))
    return Gallery.open(tmp_path / "g")


def encoder() -> SceneEncoder:
    return SceneEncoder(Careless(), "fake-1", "fake", dim=DIM)


def ask(gallery: Gallery, person: int, count: int, guide: Guide | None = None, **limits: Any) -> list[GalleryHit]:
    image = picture([(person, 10)])
    look = SecondLook(guide or Guide(), lambda scene: scene.read(), count)  # type: ignore[arg-type]
    return look_again(gallery, encoder(), look, Asked(image, box_at(10)), Limits(**limits)).hits


def places(hits: Sequence[GalleryHit]) -> list[tuple[str, int]]:
    return [(hit.source.stem, round(hit.box[0])) for hit in hits]


def test_who_was_missed_is_found(gallery: Gallery) -> None:
    before = gallery.ask(encoder().encode_query(picture([(3, 10)]), box_at(10)), Limits(top=50, per_scene=None)).hits
    assert ("p002", 60) not in places(before)
    hits = ask(gallery, 3, 5)
    assert set(places(hits[:2])) == {("p002", 60), ("p003", 10)}
    assert all(hit.similarity > 0.99 for hit in hits[:2])
    assert hits[2].similarity < 0.99
    again = next(hit for hit in hits if hit.source.stem == "p003")
    assert again.box == pytest.approx(box_at(10), abs=1.5), "her box has its legs again"


def test_a_gallery_of_films_is_looked_at_again(tmp_path: Path) -> None:
    film = save_video(tmp_path / "walk.avi", seconds=3)
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM) as gallery:
        index_sources(gallery, encoder(), [*save_pictures(tmp_path / "pictures", 3), film])
    for count in (2, 5, 6, 99):
        guide = Guide()
        assert ask(gallery, 3, count, guide)
        assert len(guide.asked_in) == min(count, 6)  # a row that says that a film is in to its end is no scene


def test_nobody_is_shown_who_was_replaced_or_takes_a_place_and_is_refused(gallery: Gallery) -> None:
    hits = ask(gallery, 1, 99, top=50, per_scene=None)
    assert all(hit.similarity > -1 for hit in hits)
    assert len({*places(hits)}) == len(hits)
    held = ask(gallery, 1, 99, top=50, min_score=0.7)  # whoever is found has 0.5
    plain = gallery.ask(encoder().encode_query(picture([(1, 10)]), box_at(10)), Limits(50, min_score=0.7), once=True)
    assert [(hit.box, hit.similarity) for hit in held] == [(hit.box, hit.similarity) for hit in plain.hits]


def test_only_the_most_promising_scenes_are_looked_at(gallery: Gallery) -> None:
    for count in (1, 3, 5, 99):
        guide = Guide()
        hits = ask(gallery, 3, count, guide, top=50)
        assert len(guide.asked_in) == min(count, 5)
        assert len({hit.source for hit in hits}) == len(hits) == 5, "the others keep what the gallery said"
    guide = Guide()
    ask(gallery, 3, 1, guide)
    assert guide.asked_in[0].tobytes() == picture([(3, 10), (4, 60)]).tobytes()
    with pytest.raises(SettingError, match="1 scene or more"):
        SecondLook(Guide(), lambda scene: scene, 0)  # type: ignore[arg-type]


def test_limits_hold(gallery: Gallery) -> None:
    hits = ask(gallery, 3, 5, top=3, per_scene=None, allow=lambda hit: hit.source.stem != "p003")
    assert len(hits) == 3
    assert "p003" not in {hit.source.stem for hit in hits}


def test_scenes_of_people_held_with_low_scores_are_looked_at(gallery: Gallery) -> None:
    guide = Guide()
    assert not ask(gallery, 3, 5, guide, min_score=1.0)
    assert len(guide.asked_in) == 5


def test_a_gallery_of_readings_is_ranked_by_its_own_rules(tmp_path: Path) -> None:
    """Where nobody is found, the answer is the gallery's: widened, and telling whether the person is there."""
    looks = torch.nn.functional.normalize(torch.randn(60, DIM, generator=torch.Generator().manual_seed(0)), dim=1)
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM, read=READINGS) as made:
        for number, path in enumerate(save_pictures(tmp_path / "pictures", 20)):
            here = looks[number % 3 :: 3]
            sights = torch.nn.functional.normalize(here + 0.02 * number * here.roll(1, dims=1), dim=1)
            boxes = torch.tensor([[8.0 * i, 0.0, 8.0 * i + 6, 90.0] for i in range(len(here))])
            people = Detections(boxes, torch.full((len(here),), 0.9), sights)
            made.add([IndexedScene(Source.of(path), 160, 96, people)])
    gallery = Gallery.open(tmp_path / "g")

    @dataclass
    class Reader(FakeModel):
        reading: Tensor

        def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
            return self.reading[None]

    @dataclass
    class Blind(Guide):
        def answer(self, scene: Image.Image, _query: object) -> list[Proposals]:
            return [Proposals(torch.zeros(0, 4), torch.zeros(0))]

    widened = 0
    for reading in (*looks[:6], *-looks[:6]):
        look = SecondLook(Blind(), lambda scene: scene.read(), 5)  # type: ignore[arg-type]
        reader = SceneEncoder(Reader(reading), "fake-1", "fake", dim=DIM)
        limits = Limits(top=100, per_scene=None)
        answer = look_again(gallery, reader, look, Asked(picture([(3, 10)]), box_at(10)), limits)
        expected = gallery.ask(reading, limits)
        assert (answer.hits, answer.added, answer.absent) == (expected.hits, expected.added, expected.absent)
        widened += len(answer.added) > 0
    assert 0 < widened < 12


def test_a_scene_that_is_gone_keeps_the_gallery_s_answer(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "p003.png").unlink()
    said: list[str] = []
    look = SecondLook(Guide(), lambda scene: scene.read(), 5)  # type: ignore[arg-type]
    asked = Asked(picture([(3, 10)]), box_at(10))
    hits = look_again(gallery, encoder(), look, asked, Limits(), complain=said.append).hits
    assert len(said) == 1
    assert "p003.png" in said[0]
    assert {hit.source.stem for hit in hits} == {f"p00{i}" for i in range(5)}


def test_a_scene_without_anybody_is_looked_at_last(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture([(7, 100)]).save(folder / "missed.png")
    picture([(1, 10)]).save(folder / "other.png")
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM) as made:
        index_sources(made, encoder(), sorted(folder.iterdir()))
    gallery = Gallery.open(tmp_path / "g")
    assert places(ask(gallery, 7, 1)) == [("other", 10)]
    assert places(ask(gallery, 7, 2)) == [("missed", 100), ("other", 10)]


def test_of_two_boxes_of_one_person_the_more_alike_stays() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 20], [30, 0, 40, 20], [80, 0, 90, 20], [0, 0, 10, 20]])
    crowd = PeopleInMemory(_alike(0.5, 0.9, 0.3, 0.1), torch.tensor([4, 4, 4, 7]), torch.ones(4))
    again = torch.tensor([[0.0, 0, 10, 22], [30, 0, 40, 22], [60, 0, 70, 20], [80, 0, 90, 20], [50, 0, 60, 20]])
    found = Found(again, _alike(0.8, 0.7, 0.1, 0.3, 0.6), torch.ones(5), torch.tensor([4, 4, 4, 4, 7]))
    query = torch.tensor([1.0, 0.0])
    gone, stay = who_stays(crowd, boxes, found, query)
    assert gone.tolist() == [0], "equals stay as they are held, and so does whoever is in another scene"
    assert stay.boxes.tolist() == again[[0, 2, 4]].tolist()
    gone, stay = who_stays(crowd, boxes, Found.nobody(2), query)
    assert (len(gone), len(stay)) == (0, 0)
    empty = PeopleInMemory(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    gone, stay = who_stays(empty, torch.zeros(0, 4), found, query)
    assert (len(gone), len(stay)) == (0, 5)


def _alike(*cosines: float) -> Tensor:
    """Readings with these cosines to (1, 0)."""
    return torch.tensor([[cosine, (1 - cosine**2) ** 0.5] for cosine in cosines])


def test_a_completed_crowd_is_as_one_made_anew() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(60, 16))
    scene_of, scores = torch.arange(60) // 6, torch.rand(60)
    held, new, gone = slice(0, 48), torch.arange(48, 60), torch.tensor([3, 17, 40])
    found = Found(torch.zeros(12, 4), vectors[new], scores[new], scene_of[new] % 8)
    completed = Completed(PeopleInMemory(vectors[held], scene_of[held], scores[held]), gone, found)
    left = torch.ones(60, dtype=torch.bool).index_fill(0, gone, False)
    scenes = torch.cat([scene_of[held], scene_of[new] % 8])
    anew = PeopleInMemory(vectors[left], scenes[left], scores[left])
    strangers = Strangers(np.linspace(-0.5, -0.1, 4000, dtype=np.float32))
    for query in vectors[:5]:
        one, other = (rank_people(query, crowd, strangers=strangers) for crowd in (completed, anew))
        assert len(one.added), "the query is widened"
        torch.testing.assert_close(one.likenesses.everybody[left], other.likenesses.everybody)
        assert (one.likenesses.everybody[gone] == -torch.inf).all()
        torch.testing.assert_close(one.asked, other.asked)
    some = torch.tensor([50, 3, 0, 59, 17])
    torch.testing.assert_close(completed.cosines_of(some, vectors[0]), completed.cosines(vectors[0])[some])
    assert torch.equal(completed.readings(some), vectors[some])


# ------------------------------------------------------------------------- with networks


@pytest.fixture(scope="module")
def weights(_network: SearchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk, an IGPN on it, and another network."""
    folder = tmp_path_factory.mktemp("weights")
    save_weights(folder / "trunk", _network, {"embedding": 256})
    trunk, name = load_trunk(folder / "trunk")
    settings = TrunkIGPNSettings(trunk.settings, proposals=ProposalSettings(50, 6), test_size=trunk.settings.test_size)
    save_weights(folder / "igpn", igpn_on(trunk, name, settings), {})
    other = {key: value * 0.9 for key, value in _network.state_dict().items()}
    _network_of(_network, other, folder / "other")
    return folder


def _network_of(network: SearchNetwork, state: dict[str, Tensor], folder: Path) -> None:
    import copy

    made = copy.deepcopy(network)
    made.load_state_dict(state)
    save_weights(folder, made, {"embedding": 256})


def test_the_command_says_when_scenes_are_read_twice(weights: Path, tmp_path: Path) -> None:
    files = save_pictures(tmp_path / "pictures", 3)
    for indexed_by, twice in (("trunk", False), ("other", True)):
        gallery = tmp_path / indexed_by
        run = CliRunner().invoke(
            app, ["index", str(tmp_path / "pictures"), "--gallery", str(gallery), "--model", str(weights / indexed_by),
                  "--min-score", "0"],
        )  # fmt: skip
        assert run.exit_code == 0, run.output
        ask = ["search", str(gallery), "--image", str(files[0]), "--box", "10", "26", "30", "86", "--json"]
        look = ["--proposer", str(weights / "igpn"), "--look-again", "99", "--codes-gb", "1", "--include-own"]
        run = CliRunner().invoke(app, [*ask, *look])
        assert run.exit_code == 0, run.output
        assert len(json.loads(run.stdout)["hits"]) == 3
        assert ("are encoded by both" in run.stderr) == twice
        assert len(list((gallery / "codes").glob("*.safetensors"))) == 3
    for wrong, advice in (
        (["--look-again", "5"], "give --proposer, too"),
        (["--look-again", "5", "--proposer", "p", "--reid", "r"], "leave --reid and --candidates out"),
    ):
        refused = CliRunner().invoke(app, [*ask, *wrong])
        assert refused.exit_code == 2
        assert advice in refused.output


def test_a_gallery_of_a_re_id_network_is_looked_at_again_by_it(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("graph_files").save_reid(tmp_path / "net.onnx")
    files = save_pictures(tmp_path / "pictures", 2)
    g = str(tmp_path / "g")
    made = ["index", str(tmp_path / "pictures"), "--gallery", g, "--model", str(weights / "trunk"),
            "--reid", str(tmp_path / "net.onnx"), "--min-score", "0"]  # fmt: skip
    ask = ["search", g, "--image", str(files[0]), "--box", "10", "26", "30", "86", "--include-own", "--json",
           "--proposer", str(weights / "igpn"), "--look-again", "99"]  # fmt: skip
    for words in (made, ask):
        run = CliRunner().invoke(app, words)
        assert run.exit_code == 0, run.output


def test_it_is_evaluated(weights: Path, tmp_path: Path) -> None:
    benchmark = make_benchmark(tmp_path / "pictures")
    result, _ = evaluate_weights(str(weights / "igpn"), benchmark, JudgeSettings(look_again=2))
    assert 0 <= result.mAP <= 1
    for model, settings in (("trunk", JudgeSettings(look_again=2)), ("igpn", JudgeSettings(look_again=2, keep=3))):
        with pytest.raises(SettingError, match="leave --"):
            evaluate_weights(str(weights / model), benchmark, settings)


def test_answers_need_a_second_look_and_projections(weights: Path, tmp_path: Path) -> None:
    benchmark = make_benchmark(tmp_path / "pictures")
    with pytest.raises(SettingError, match="give --look-again"):
        evaluate_weights(str(weights / "igpn"), benchmark, JudgeSettings(answers=True))
    (weights / "trunk" / PROJECTIONS_FILE).unlink(missing_ok=True)
    with pytest.raises(SettingError, match="leave --answers out"):
        evaluate_weights(str(weights / "igpn"), benchmark, JudgeSettings(look_again=2, answers=True))


def _projections(folder: Path) -> None:
    torch.manual_seed(0)
    made = Projections(*(fit_projection(torch.rand(300, n)) for n in (2048, 2048, 7168)))
    save_projections(folder, made, fingerprint_of_readings(folder))


def test_the_most_promising_scenes_hold_the_most_alike() -> None:
    from personsearch.data.records import Query
    from personsearch.evaluation.protocols import Rules
    from personsearch.evaluation.second_look import Asked as Searched
    from personsearch.evaluation.second_look import promising

    def people(*cosines: float) -> Detections:
        return Detections(torch.zeros(len(cosines), 4), torch.ones(len(cosines)), _alike(*cosines).reshape(-1, 2))

    held = {"a": people(0.2, 0.5), "b": people(), "c": people(0.9), "own": people(1.0)}
    query = Query("own", (0.0, 0.0, 1.0, 1.0), 1, ("a", "b", "c", "own"))
    asked = Searched(Benchmark("b", (), 0, (), (query,)), held, torch.tensor([[1.0, 0.0]]), Rules())
    assert promising(asked, 0, 2) == ["c", "a"]
    assert promising(asked, 0, 9) == ["c", "a", "b"]
