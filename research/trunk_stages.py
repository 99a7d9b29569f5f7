"""Table 2 of the IGPN paper on a trunk, and BINet's embedding behind IGPN: second stages on what is read once.

With the trunk frozen and the first stage of a trained IGPN, nothing that a second stage is given changes. So the pairs
of TRAIN and the candidates of TEST are read once, into OUT, and each variant trains and is judged in seconds.

Run: python research/trunk_stages.py OUT TRAIN TEST IGPN --codes CODES [--recipes …] [--seeds 0 1 2 3 4] [--read 400]
     [--steps 300] [--proposals 64] [--gallery-size N] [--keep 10 20 50 100]

CODES is where the IGPN's training kept its codes. The row "as trained" is the IGPN's own second stage, "as it starts"
one that nobody trained, and "labelled" ranks annotated people by BINet's embedding. Without recipes nothing is trained.
What is finished stands in OUT: a stopped comparison goes on.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from compare_variants import print_table, read_results
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from second_stage import SECOND, UNSEEN, Readings, train_second
from torch import Tensor

from personsearch.data.records import Benchmark, Scene
from personsearch.data.sources import load_benchmark
from personsearch.evaluation.protocols import SearchResult, evaluate_guided, evaluate_search
from personsearch.geometry.assignment import Matcher
from personsearch.geometry.detections import Detections
from personsearch.losses.criteria import IGPNCriterion
from personsearch.models.guided import QueryCode, cat_queries
from personsearch.models.igpn_trunk import TrunkIGPN, igpn_on
from personsearch.models.likeness import SCORE
from personsearch.models.tensor_files import MODEL_FILE
from personsearch.models.weights import load_proposer, load_trunk, read_config, read_settings
from personsearch.runtime import keep_memory, mixed_precision
from personsearch.search.scene_codes import codes_of
from personsearch.settings import settings_from_dict
from personsearch.training.batches.codes import CodedPairs, Keeping
from personsearch.training.batches.pairs import PairSettings, TrainingPairs, sought
from personsearch.training.recipes import TrunkRecipe, get_recipe

NEIGHBOURS = Matcher(positive=0.5, negative=0.5)
"""Which proposals show the person asked for, as in training."""
LIMIT = 10**11
"""Bytes of codes: all that CODES holds."""
CodeOf = Callable[[Scene], Any]
"""What the trunk says of a scene."""
Boxes = dict[str, tuple[Tensor, Tensor, Tensor]]
"""By scene what a query's answers are: boxes [N, 4], similarities [N], and the cosines [N] of BINet's embeddings."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    for name in ("train", "test", "igpn"):
        options.add_argument(name)
    options.add_argument("--codes", type=Path, required=True)
    variants = [f"igpn_{left_out}rendered" for left_out in ("", "no_local_", "no_global_", "no_relation_")]
    options.add_argument("--recipes", nargs="*", default=variants)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options.add_argument("--read", type=int, default=400, help="steps whose pairs are read")
    options.add_argument("--steps", type=int, default=300)
    options.add_argument("--pairs", type=int, default=64, help="pairs of a step")
    options.add_argument("--rate", type=float, default=0.0005)
    options.add_argument("--proposals", type=int, default=64, help="of a scene")
    options.add_argument("--gallery-size", type=int, help="the benchmark's own by default")
    options.add_argument("--keep", type=int, nargs="+", default=[10, 20, 50, 100])
    given = options.parse_args()
    keep_memory()
    claim(given)
    size = {} if given.gallery_size is None else {"gallery_size": given.gallery_size}
    benchmark = load_benchmark(given.test, **size)
    trained = load_proposer(given.igpn)
    code_of = codes_of(trained, given.out / "codes", LIMIT)
    kept, queries = read_test(trained.model, code_of, benchmark, given.out, given.proposals)
    note(given.out, "labelled", 0, labelled(trained.model, code_of, benchmark, queries))
    untrained = fresh(given.igpn, get_recipe("igpn_rendered"), 0)
    for name, network in (("as trained", trained.model), ("as it starts", untrained)):
        note(given.out, name, 0, figures(network, benchmark, kept, queries, given.keep))
    if not given.recipes:
        return
    readings = read_pairs(given.igpn, load_benchmark(given.train), given.codes, given.read)
    for seed, name in product(given.seeds, given.recipes):
        if not (given.out / f"{name}-{seed}.json").exists():
            recipe = get_recipe(name)
            network = fresh(given.igpn, recipe, seed)
            criterion = IGPNCriterion(recipe.loss)
            losses = train_second(network, criterion, readings, given.steps, given.pairs, given.rate, seed)
            made = figures(network.eval(), benchmark, kept, queries, [])
            note(given.out, name, seed, {**made, "losses": losses})
    print_table(read_results(given.out), given.recipes)


def claim(given: argparse.Namespace) -> None:
    """Makes OUT, or exits when it holds figures of other settings."""
    asked = {name: str(value) for name, value in vars(given).items() if name not in ("out", "recipes", "seeds")}
    file = given.out / "asked" / "asked.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asked, indent=1) + "\n")
    if json.loads(file.read_text()) != asked:
        raise SystemExit(f"{given.out} was made with other settings: give another OUT")


def note(out: Path, recipe: str, seed: int, figures: dict[str, Any]) -> None:
    file = out / f"{recipe}-{seed}.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"recipe": recipe, "seed": seed, **figures}, indent=1) + "\n")
    part.replace(file)
    print(file.stem, json.dumps(figures), flush=True)


def fresh(igpn: str, recipe: Any, seed: int) -> TrunkIGPN:
    """The first stage of an IGPN, before a second one of the recipe that nobody has trained."""
    assert isinstance(recipe, TrunkRecipe)
    folder, config = read_config(igpn, TrunkIGPN)
    trunk, name = load_trunk(config["trunk"]["name"])
    settings = replace(read_settings(config, folder), local_relation=recipe.network.local_relation)
    torch.manual_seed(seed)
    network = igpn_on(trunk, name, settings)
    first = {key: t.float() for key, t in load_file(folder / MODEL_FILE).items() if key.split(".")[0] not in SECOND}
    network.load_state_dict({**network.state_dict(), **first})
    return network


# ------------------------------------------------------------------------------------------------ what is read once


@torch.inference_mode()
def read_test(
    proposer: Any, code_of: CodeOf, benchmark: Benchmark, out: Path, proposals: int
) -> tuple[list[Path], list[QueryCode]]:
    """A file for each scene with the candidates of all queries that search in it, and the queries."""
    proposer.settings = replace(proposer.settings, proposals=replace(proposer.settings.proposals, after_nms=proposals))
    scenes = {scene.name: scene for scene in benchmark.test}
    queries = [proposer.query_in(code_of(scenes[query.scene]), [query.box]) for query in benchmark.queries]
    asking: dict[str, list[int]] = defaultdict(list)
    for number, query in enumerate(benchmark.queries):
        for name in set(query.gallery) - {query.scene}:
            asking[name].append(number)
    (out / "test").mkdir(exist_ok=True)
    files = []
    for name, asked in track(asking.items(), "asking scenes", len(asking)):
        files.append(out / "test" / f"{Path(name).stem}.safetensors")
        if not files[-1].exists():
            part = files[-1].with_suffix(".part")
            save_file(read_scene(proposer, code_of(scenes[name]), asked, queries), part, {"scene": name})
            part.replace(files[-1])
    return files, queries


def read_scene(proposer: TrunkIGPN, kept: Any, asked: list[int], queries: list[QueryCode]) -> dict[str, Tensor]:
    """Candidates and their readings, query after query."""
    code = proposer.ready(kept)
    lists: list[Tensor] = []
    for some in torch.tensor(asked).split(8):
        found = proposer.candidates(code, cat_queries([queries[number] for number in some]))
        lists += [candidates.boxes for candidates in found]
    with mixed_precision(code.maps.device):
        features = proposer.read_regions(code, torch.cat(lists))
    return {
        "asked": torch.tensor(asked),
        "counts": torch.tensor([len(boxes) for boxes in lists]),
        "boxes": torch.cat(lists),
        "features": features.half(),
        "size": torch.tensor(code.size),
        "scale": code.scale,
    }


def read_pairs(igpn: str, benchmark: Benchmark, codes: Path, steps: int) -> Readings:
    """What a second stage is given of the pairs of `steps` steps that the IGPN itself was not trained on."""
    _, config = read_config(igpn, TrunkIGPN)
    recipe = settings_from_dict(TrunkRecipe, config["recipe"])
    network = fresh(igpn, recipe, 0)
    coded = CodedPairs(benchmark.train, recipe.pairs, recipe.seed, network, Keeping(codes, LIMIT))
    drawn = PairSettings(recipe.pairs.scenes, recipe.pairs.per_scene, recipe.pairs.shares)
    batches = TrainingPairs(benchmark.train, drawn, recipe.seed)
    known: dict[str, tuple[Tensor, ...]] = {}

    def read(scene: Scene) -> tuple[Tensor, ...]:
        """Regions, their readings, people, and their readings as queries: all but the maps."""
        if scene.name not in known:
            code = coded.code(scene)
            known[scene.name] = tuple(
                t.clone() for t in (code.regions, code.readings.half(), code.people, code.queries)
            )
        return known[scene.name]

    rows: dict[str, list[Tensor]] = defaultdict(list)
    for step in track(range(UNSEEN, UNSEEN + steps), "reading pairs"):
        for pair in batches.pairs(step):
            regions, features, people, _ = read(pair.scene)
            wanted = sought(pair)
            places = [place for place, person in enumerate(pair.scene.persons) if person.box in wanted]
            person = people[places]
            rows["boxes"].append(regions)
            rows["features"].append(features)
            rows["queries"].append(read(pair.query)[3][pair.query.persons.index(pair.person)].half())
            rows["matches"].append(NEIGHBOURS(regions, person))
            rows["persons"].append(person[0] if len(person) else torch.zeros(4))
            rows["held"].append(torch.tensor(len(person) > 0))
            rows["counts"].append(torch.tensor(len(regions)))
    filled = {name: torch.nn.utils.rnn.pad_sequence(rows.pop(name), batch_first=True) for name in ("boxes", "features")}
    matches = torch.nn.utils.rnn.pad_sequence(rows.pop("matches"), batch_first=True, padding_value=-1)
    return Readings(**filled, matches=matches, **{name: torch.stack(some) for name, some in rows.items()})


# -------------------------------------------------------------------------------------------------------- judged


def figures(
    network: TrunkIGPN, benchmark: Benchmark, files: list[Path], queries: list[QueryCode], keep: list[int]
) -> dict[str, Any]:
    """Alone, and with BINet's embedding for the N most similar proposals of each query's gallery."""
    answers = judged(network, files, queries)
    made: dict[str, Any] = {"mAP": (alone := ranked(benchmark, answers, None)).mAP, "top1": alone.top1}
    for count in keep:
        both = ranked(benchmark, answers, count)
        made[f"binet_{count}"] = {"mAP": both.mAP, "top1": both.top1}
    return made


def labelled(proposer: TrunkIGPN, code_of: CodeOf, benchmark: Benchmark, queries: list[QueryCode]) -> dict[str, Any]:
    """The perfect detector before BINet's embedding."""
    people = {}
    for scene in track(benchmark.test, "reading people"):
        boxes = [person.box for person in scene.persons]
        embeddings = torch.zeros(0, SCORE)
        if boxes:
            embeddings = proposer.query_in(code_of(scene), boxes).features[:, :SCORE].float()
        people[scene.name] = Detections(torch.tensor(boxes).reshape(-1, 4), torch.ones(len(boxes)), embeddings)
    asked = torch.cat([query.features[:, :SCORE].float() for query in queries])
    result = evaluate_search(benchmark, people, asked)
    return {"mAP": result.mAP, "top1": result.top1}


def judged(network: TrunkIGPN, files: list[Path], queries: list[QueryCode]) -> list[Boxes]:
    """The second stage's answers to each query."""
    answers: list[Boxes] = [{} for _ in queries]
    for file in files:
        with safe_open(file, "pt") as held:
            name = held.metadata()["scene"]
        read = load_file(file)
        counts, features = read["counts"].tolist(), read["features"].float()
        lists = list(read["boxes"].split(counts))
        asked = [queries[number] for number in read["asked"].tolist()]
        stay = network.judge(cat_queries(asked), lists, features, tuple(read["size"].tolist()))
        parts = zip(read["asked"].tolist(), asked, stay, features.split(counts), strict=True)
        for number, query, (boxes, similarities, which), of_query in parts:
            cosines = of_query[which, :SCORE] @ query.features[0, :SCORE].float()
            answers[number][name] = (boxes / read["scale"], similarities, cosines)
    return answers


def ranked(benchmark: Benchmark, answers: list[Boxes], keep: int | None) -> SearchResult:
    """By similarity, or by cosine those that are among the `keep` most similar of the gallery."""

    def chosen(found: Boxes) -> dict[str, tuple[Tensor, Tensor]]:
        if keep is None:
            return {name: (boxes, similarities) for name, (boxes, similarities, _) in found.items()}
        everything = torch.cat([similarities for _, similarities, _ in found.values()])
        least = everything.sort(descending=True).values[:keep][-1]
        return {name: (b[s >= least], cosines[s >= least]) for name, (b, s, cosines) in found.items()}

    return evaluate_guided(benchmark, (chosen(found) for found in answers))


if __name__ == "__main__":
    main()
