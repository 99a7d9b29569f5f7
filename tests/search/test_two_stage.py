"""Two-stage search: many queries share scenes, the best proposals of a gallery go on, codes survive on disk."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from search_fakes import FakeModel, box_at, picture, save_pictures, save_video, searcher
from torch import nn

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Scene
from personsearch.data.transforms import SizeSettings
from personsearch.errors import BoxError, GalleryError, ImageError, SettingError
from personsearch.models.guided import Proposals, SceneCode
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.rpn import AnchorSettings, ProposalSettings
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.indexing import index_sources
from personsearch.search.proposals import ProposalSearch, keep_best
from personsearch.search.scene_codes import SceneCodes
from personsearch.search.two_stage import TwoStageSearcher

SETTINGS = IGPNSettings(
    channels=4,
    anchors=AnchorSettings((24.0, 48.0), (2.0,)),
    proposals=ProposalSettings(60, 6),
    test_size=SizeSettings(96, 160),
)


@pytest.fixture(scope="module")
def proposer() -> IGPN:
    torch.manual_seed(0)
    made = build_igpn(SETTINGS)
    for name, parameter in made.named_parameters():
        if name.startswith(("stem", "head")) and parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")
    for module in made.modules():
        if hasattr(module, "scale"):
            module.scale.fill_(0.7)
    nn.init.normal_(made.score.weight, std=0.5)
    for correlation in (made.similarity, made.regression):  # zero at first, so that all queries would be alike
        nn.init.normal_(correlation.second.weight, std=0.05)
        nn.init.normal_(correlation.shared.weight, std=0.01)
    return made.eval()


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    files = save_pictures(tmp_path / "pictures", 4)
    return [Scene(str(path), ImageFile(path), 160, 96) for path in files]


def test_the_second_stage_ranks_what_the_first_leaves(proposer: IGPN, scenes: list[Scene]) -> None:
    both = TwoStageSearcher(proposer, FakeModel(), keep=9, once=False)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    (hits,) = both.search([query], scenes, 50, per_scene=None)
    assert len(hits) == 9
    assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)
    alone = TwoStageSearcher(proposer, once=False)
    (alone,) = alone.search([replace(query, embedding=None)], scenes, 9, per_scene=None)
    assert {(hit.scene, hit.box) for hit in alone} == {(hit.scene, hit.box) for hit in hits}
    for hit in hits:
        again = FakeModel().embed(hit.picture.read(), torch.tensor([hit.box]))[0]
        assert hit.similarity == pytest.approx(float(again @ query.embedding), abs=1e-5)
    assert [hit.score for hit in alone] == sorted((hit.score for hit in hits), reverse=True)


def test_one_person_is_once_in_a_scene(proposer: IGPN, scenes: list[Scene]) -> None:
    """The same hits as without the rule, and behind each scene's most alike its others have lost twice their lead."""
    query = TwoStageSearcher(proposer, FakeModel()).encode_query(picture([(1, 10)]), box_at(10))
    (plain,) = TwoStageSearcher(proposer, FakeModel(), keep=9, once=False).search([query], scenes, 50, per_scene=None)
    (hits,) = TwoStageSearcher(proposer, FakeModel(), keep=9).search([query], scenes, 50, per_scene=None)
    best: dict[str, float] = {}
    for hit in plain:
        best[hit.scene] = max(best.get(hit.scene, -2.0), hit.similarity)

    def likeness(hit: GalleryHit) -> float:
        return hit.similarity - 2 * (best[hit.scene] - hit.similarity) + 0.05 * math.log(max(hit.score, 1e-6))

    assert [hit.box for hit in hits] == [hit.box for hit in sorted(plain, key=likeness, reverse=True)]
    assert {(hit.box, hit.similarity) for hit in hits} == {(hit.box, hit.similarity) for hit in plain}


def test_queries_together_get_what_they_get_alone(proposer: IGPN, scenes: list[Scene]) -> None:
    both = TwoStageSearcher(proposer, FakeModel(), keep=5)
    queries = [both.encode_query(picture([(n, 10)]), box_at(10)) for n in range(10)]
    together = both.search(queries, scenes, 3)
    for query, hits in zip(queries, together, strict=True):
        (alone,) = both.search([query], scenes, 3)
        assert [hit.scene for hit in hits] == [hit.scene for hit in alone]
        for one, other in zip(hits, alone, strict=True):
            assert one.box == pytest.approx(other.box, abs=0.5)


def test_what_is_not_allowed_takes_no_place(proposer: IGPN, scenes: list[Scene]) -> None:
    both = TwoStageSearcher(proposer, FakeModel(), keep=4)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    (hits,) = both.search([query], scenes, 50, per_scene=None, allow=lambda hit: hit.scene != scenes[0].name)
    assert len(hits) == 4
    assert scenes[0].name not in {hit.scene for hit in hits}
    (few,) = both.search([query], scenes, 50, per_scene=1)
    assert len({hit.scene for hit in few}) == len(few)
    least = sorted(hit.score for hit in hits)[2]
    (sure,) = both.search([query], scenes, 50, per_scene=None, min_score=least)
    assert 0 < len(sure) <= 4
    assert min(hit.score for hit in sure) >= least


def test_what_is_not_allowed_is_no_candidate(
    proposer: IGPN, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposer, "settings", replace(SETTINGS, test_size=SizeSettings(192, 320)))
    query = TwoStageSearcher(proposer).encode_query(picture([(1, 10)]), box_at(10))
    (hits,) = TwoStageSearcher(proposer, candidates=2).search([query], scenes, 50, per_scene=None)
    taken = {hit.scene for hit in hits}
    seen: list[GalleryHit] = []

    def elsewhere(hit: GalleryHit) -> bool:
        seen.append(hit)
        return hit.scene not in taken

    few = TwoStageSearcher(proposer, candidates=2)
    (others,) = few.search([query], scenes, 50, per_scene=None, allow=elsewhere)
    left = [scene for scene in scenes if scene.name not in taken]
    (expected,) = few.search([query], left, 50, per_scene=None)
    assert len(others) == len(expected) > 0
    assert [hit.box for hit in others] == [hit.box for hit in expected]
    assert all(-1 <= hit.box[0] < hit.box[2] <= 161 for hit in seen), "in pixels of the picture"


def test_more_than_there_is_is_all_there_is(proposer: IGPN, scenes: list[Scene]) -> None:
    both = TwoStageSearcher(proposer, FakeModel(), keep=10_000)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    (hits,) = both.search([query], scenes, 10_000, per_scene=None)
    assert 0 < len(hits) <= 4 * 6
    assert both.search([query], [], 5) == [[]]
    assert both.search([], scenes, 5) == []


def test_only_candidates_of_the_gallery_are_compared(proposer: IGPN, scenes: list[Scene]) -> None:
    queries = [proposer.encode_query(picture([(n, 10)]), [box_at(10)]) for n in range(2)]
    asked: list[str] = []

    def code_of(scene: Scene) -> SceneCode:
        asked.append(scene.name)
        return proposer.encode_scene(scene.read())

    asking = {scene.name: [0, 1] for scene in scenes}
    found = ProposalSearch(proposer, queries, scenes, code_of).propose(asking, candidates=3)
    second = asked[len(scenes) :]
    for query, answers in zip(queries, found, strict=True):
        first = {scene.name: proposer.candidates(proposer.encode_scene(scene.read()), query)[0] for scene in scenes}
        rows = [(float(s), n, p) for n, some in first.items() for p, s in enumerate(some.similarities)]
        best = sorted(rows, key=lambda row: -row[0])[:3]
        assert len(best) == 3
        for scene in scenes:
            places = sorted(p for _, name, p in best if name == scene.name)
            assert (scene.name in answers) == bool(places)
            if places:
                assert scene.name in second
                code = proposer.encode_scene(scene.read())
                (expected,) = proposer.compare(code, query, [first[scene.name].boxes[places]])
                torch.testing.assert_close(answers[scene.name].boxes, expected.boxes, atol=0.5, rtol=0.01)
                torch.testing.assert_close(answers[scene.name].similarities, expected.similarities, atol=0.02, rtol=0)
    assert set(second) == {name for answers in found for name in answers}, "other scenes are not encoded again"


def test_as_many_candidates_as_there_are_change_nothing(proposer: IGPN, scenes: list[Scene]) -> None:
    query = TwoStageSearcher(proposer).encode_query(picture([(1, 10)]), box_at(10))
    (without,) = TwoStageSearcher(proposer).search([query], scenes, 50, per_scene=None)
    (hits,) = TwoStageSearcher(proposer, candidates=999).search([query], scenes, 50, per_scene=None)
    assert hits == without
    (few,) = TwoStageSearcher(proposer, candidates=2).search([query], scenes, 50, per_scene=None)
    assert 0 < len(few) <= 2
    with pytest.raises(SettingError, match="candidates 0: give 1 or more"):
        TwoStageSearcher(proposer, candidates=0)


def test_scenes_of_which_nothing_is_left_are_not_read_again(proposer: IGPN, scenes: list[Scene]) -> None:
    model = FakeModel()
    seen: list[int] = []
    model.embed = lambda image, boxes: (seen.append(len(boxes)), FakeModel().embed(image, boxes))[1]  # type: ignore[method-assign]
    both = TwoStageSearcher(proposer, model, keep=1)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    both.search([query], scenes, 5)
    assert seen == [1, 1], "the query, and the one proposal that was left"


@pytest.mark.parametrize(
    ("box", "why"),
    [((10.0, 10, 14, 60), "too small"), ((10.0, 10, 60, 18), "too small"), ((500.0, 0, 600, 90), "outside")],
)
def test_unusable_boxes_are_refused(proposer: IGPN, box: tuple[float, float, float, float], why: str) -> None:
    with pytest.raises(BoxError, match=why):
        TwoStageSearcher(proposer).encode_query(Image.new("RGB", (160, 96)), box)


def test_a_second_stage_of_nothing_is_refused(proposer: IGPN) -> None:
    with pytest.raises(SettingError, match="1 proposal or more"):
        TwoStageSearcher(proposer, keep=0)


def test_the_best_of_the_whole_gallery_are_kept() -> None:
    boxes = torch.arange(12.0).reshape(3, 4)
    answers = {
        "a": Proposals(boxes, torch.tensor([0.9, 0.1, 0.5])),
        "b": Proposals(boxes[:2], torch.tensor([0.8, 0.5])),
        "c": Proposals(boxes[:0], torch.zeros(0)),
    }
    kept = keep_best(answers, 3)
    assert kept["a"].similarities.tolist() == pytest.approx([0.9, 0.5])
    assert torch.equal(kept["a"].boxes, boxes[[0, 2]])
    assert kept["b"].similarities.tolist() == pytest.approx([0.8])
    assert "c" not in kept
    assert {name: len(found) for name, found in keep_best(answers, 99).items()} == {"a": 3, "b": 2}
    assert keep_best({}, 3) == {}


# -------------------------------------------------------------------- codes on disk


class Counting:
    def __init__(self, proposer: IGPN) -> None:
        self.proposer, self.count = proposer, 0

    def __call__(self, scene: Scene) -> SceneCode:
        self.count += 1
        return self.proposer.encode_scene(scene.read())


def test_codes_from_disk_answer_alike(proposer: IGPN, scenes: list[Scene], tmp_path: Path) -> None:
    both = TwoStageSearcher(proposer, FakeModel(), keep=8)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    (fresh,) = both.search([query], scenes, 4)
    compute = Counting(proposer)
    for expected in (4, 4):
        codes = SceneCodes(tmp_path / "codes", "igpn-1", 10**9)
        (hits,) = both.search([query], scenes, 4, code_of=lambda scene: codes.get(scene, compute))  # noqa: B023
        assert compute.count == expected
        assert [hit.scene for hit in hits] == [hit.scene for hit in fresh]
        for one, other in zip(hits, fresh, strict=True):
            assert one.box == pytest.approx(other.box, abs=1.0)
            assert one.similarity == pytest.approx(other.similarity, abs=0.02)


def test_a_changed_picture_is_read_anew(proposer: IGPN, scenes: list[Scene], tmp_path: Path) -> None:
    compute = Counting(proposer)
    codes = SceneCodes(tmp_path / "codes", "igpn-1", 10**9)
    codes.get(scenes[0], compute)
    path = Path(scenes[0].name)
    picture([(5, 40)]).save(path)
    os.utime(path, (1, 1))
    codes.get(scenes[0], compute)
    codes.get(scenes[0], compute)
    assert compute.count == 2
    assert len(list((tmp_path / "codes").glob("*.safetensors"))) == 1, "the old one makes room"


def test_codes_stay_within_their_room(proposer: IGPN, scenes: list[Scene], tmp_path: Path) -> None:
    compute = Counting(proposer)
    SceneCodes(tmp_path / "all", "igpn-1", 10**9).get(scenes[0], compute)
    (one,) = (tmp_path / "all").glob("*.safetensors")
    room = int(2.5 * one.stat().st_size)
    codes = SceneCodes(tmp_path / "some", "igpn-1", room)
    for scene in [*scenes, *scenes]:
        codes.get(scene, compute)
    assert sum(file.stat().st_size for file in (tmp_path / "some").glob("*.safetensors")) <= room
    assert compute.count == 1 + 4 + 2
    SceneCodes(tmp_path / "none", "igpn-1", 0).get(scenes[0], compute)
    assert not (tmp_path / "none").exists()


def test_half_a_code_is_made_again(proposer: IGPN, scenes: list[Scene], tmp_path: Path) -> None:
    compute = Counting(proposer)
    codes = SceneCodes(tmp_path / "codes", "igpn-1", 10**9)
    codes.get(scenes[0], compute)
    (file,) = (tmp_path / "codes").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    codes.get(scenes[0], compute)
    codes.get(scenes[0], compute)
    assert compute.count == 2


def test_a_byte_that_turned_over_is_never_part_of_a_code(proposer: IGPN, scenes: list[Scene], tmp_path: Path) -> None:
    codes = SceneCodes(tmp_path / "codes", "igpn-1", 10**9)
    whole = codes.get(scenes[0], Counting(proposer))
    codes.get(scenes[0], Counting(proposer))
    (file,) = (tmp_path / "codes").glob("*.safetensors")
    stored = file.read_bytes()
    places = [*range(0, 700, 7), *range(700, len(stored), len(stored) // 40)]
    for place in places:
        turned = bytearray(stored)
        turned[place] ^= 1 << place % 8
        file.write_bytes(turned)
        again = SceneCodes(tmp_path / "codes", "igpn-1", 10**9).get(scenes[0], lambda _: whole)
        assert again is whole or torch.equal(again.maps, whole.maps.half().float()), place


def test_a_folder_that_cannot_be_written_costs_the_codes_and_not_the_answer(
    proposer: IGPN, scenes: list[Scene], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    said: list[str] = []
    codes = SceneCodes(tmp_path / "file" / "codes", "igpn-1", 10**9, complain=said.append)
    assert codes.get(scenes[0], Counting(proposer)).size == (96, 160)
    assert len(said) == 1
    assert "no scene codes are kept" in said[0]


def test_limits_that_make_no_sense_are_refused(proposer: IGPN, scenes: list[Scene]) -> None:
    both = TwoStageSearcher(proposer)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    for limits in ({"min_score": 80}, {"min_score": float("nan")}, {"min_gap": -1.0}, {"per_scene": 0}):
        with pytest.raises(SettingError, match="impossible"):
            both.search([query], scenes, 5, **limits)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="impossible"):
        both.search([query], scenes, 0)


def test_a_full_disk_costs_the_code_and_not_the_answer(
    proposer: IGPN, scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    compute = Counting(proposer)
    codes = SceneCodes(tmp_path / "codes", "igpn-1", 10**9, complain=said.append)

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("personsearch.search.scene_codes.write_tensors", full)
    for scene in scenes:
        assert codes.get(scene, compute).size == (96, 160)
    assert len(said) == 1
    assert "No space left" in said[0]
    assert sorted(p.name for p in (tmp_path / "codes").iterdir()) == ["codes.json"]


def test_a_scene_that_is_gone_is_told_and_left_out(proposer: IGPN, scenes: list[Scene], tmp_path: Path) -> None:
    both = TwoStageSearcher(proposer, FakeModel(), keep=99)
    query = both.encode_query(picture([(1, 10)]), box_at(10))
    Path(scenes[1].name).unlink()
    Path(scenes[2].name).write_bytes(b"no picture")
    for limit in (0, 10**9):
        said: list[str] = []
        codes = SceneCodes(tmp_path / "codes", "igpn-1", limit)

        def code_of(scene: Scene, codes: SceneCodes = codes) -> SceneCode:
            return codes.get(scene, Counting(proposer))

        (hits,) = both.search([query], scenes, code_of=code_of, complain=said.append)
        assert {hit.scene for hit in hits} == {scenes[0].name, scenes[3].name}
        assert len(said) == 2
    with pytest.raises(ImageError):
        both.search([query], scenes)


def test_a_query_without_an_embedding_has_no_second_stage(proposer: IGPN, scenes: list[Scene]) -> None:
    query = TwoStageSearcher(proposer).encode_query(picture([(1, 10)]), box_at(10))
    with pytest.raises(SettingError, match="encode it by this searcher"):
        TwoStageSearcher(proposer, FakeModel()).search([query], scenes)


def test_without_a_second_stage_nothing_is_cut(proposer: IGPN, scenes: list[Scene]) -> None:
    alone = TwoStageSearcher(proposer, keep=1)
    query = alone.encode_query(picture([(1, 10)]), box_at(10))
    (hits,) = alone.search([query], scenes, 4)
    assert len(hits) == 4


def test_what_cannot_be_among_the_best_is_let_go(
    proposer: IGPN, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = proposer.encode_query(picture([(1, 10)]), [box_at(10)])
    asking = {scene.name: [0] for scene in scenes}
    search = ProposalSearch(proposer, [code], scenes)
    (everything,) = search.propose(asking)
    monkeypatch.setattr("personsearch.search.proposals._SCENES_BEFORE_CUT", 2)
    (best,) = search.propose(asking, keep=3)
    expected = keep_best(everything, 3)
    assert best.keys() == expected.keys()
    for name in best:
        torch.testing.assert_close(vars(best[name]), vars(expected[name]))


def test_codes_of_other_weights_are_refused(tmp_path: Path) -> None:
    SceneCodes(tmp_path / "codes", "igpn-1", 10**9)
    SceneCodes(tmp_path / "codes", "igpn-2", 0)  # asks for none
    with pytest.raises(GalleryError, match=r"of other weights or another size \(igpn-1, not igpn-2\);"):
        SceneCodes(tmp_path / "codes", "igpn-2", 10**9)
    (tmp_path / "codes" / "codes.json").write_text("{")
    with pytest.raises(GalleryError, match="damaged"):
        SceneCodes(tmp_path / "codes", "igpn-1", 10**9)
    with pytest.raises(SettingError, match="0 or more"):
        SceneCodes(tmp_path / "other", "igpn-1", -1)


def test_a_gallery_lists_its_scenes(tmp_path: Path) -> None:
    files = save_pictures(tmp_path / "pictures", 2)
    video = save_video(tmp_path / "walk.mp4", seconds=3)
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=12) as gallery:
        index_sources(gallery, searcher(), [*files, video], every=1)
        scenes = gallery.scenes()
    assert [scene.name for scene in scenes] == [str(p) for p in files] + [f"{video}@{n}" for n in (0, 5, 10)]
    assert [scene.time for scene in scenes] == [None, None, 0.0, 1.0, 2.0]
    assert scenes[-1].read().size == (scenes[-1].width, scenes[-1].height) == (160, 96)
