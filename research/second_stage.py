"""Table 2 of the IGPN paper with second stages that are trained out: what L and G do, all else being equal.

End to end, a short run shares its few steps between the backbone, the first stage and the second one. Here a trained
IGPN reads training pairs once; then the second stages of all variants train from random weights on what it read, for
many more pairs in the same minutes. Each is saved as a whole IGPN, in OUT/RECIPE-SEED, and evaluated as one.

Run: python research/second_stage.py OUT TRAIN TEST IGPN [IGPN …] [--recipes …] [--read 400] [--steps 300]
     [--features unit] [--gallery-size 15]

Several IGPNs are seeds of one recipe, and second stages take their seeds. What is finished stands in OUT: a stopped
comparison goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from compare_variants import print_table, read_results
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.evaluation.evaluate import evaluate_weights
from personsearch.losses.criteria import IGPNCriterion
from personsearch.losses.detection import related_losses
from personsearch.models.guided import IGPNOutput, QueryCode
from personsearch.models.igpn import IGPN, build_igpn
from personsearch.models.search_network import Targets
from personsearch.models.tensor_files import MODEL_FILE
from personsearch.models.weights import load_proposer, read_config, read_settings, save_weights
from personsearch.runtime import keep_memory, mixed_precision
from personsearch.settings import settings_from_dict
from personsearch.training.batches.pairs import TrainingPairs
from personsearch.training.recipes import IGPNRecipe, get_recipe

SECOND = ("relation", "local", "score", "delta", "search")
"""The parts that train: all of `IGPN.relate`."""
EMBEDDING = "relation.prepared."
"""Of those the one that the IGPN hands over, since it was trained before."""
ASKED = ("train", "test", "read", "steps", "pairs", "rate", "features", "gallery_size")
"""What figures depend on, beside the IGPN, its seed and the recipe."""
UNSEEN = 10_000
"""The first step of the pairs that are read: none that the IGPN itself was trained on."""


@dataclass(frozen=True)
class Readings:
    """What the second stage is given of P pairs."""

    boxes: Tensor
    """[P, N, 4] proposals; rows after a pair's last one are zero"""
    counts: Tensor
    """[P]"""
    features: Tensor
    """[P, N, 2048] float16, f^p"""
    queries: Tensor
    """[P, 2048] float16, f^q"""
    matches: Tensor
    """[P, N]"""
    persons: Tensor
    """[P, 4] the query person's box; zero where they are not in the scene"""
    held: Tensor
    """[P] whether they are"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    for name in ("train", "test"):
        options.add_argument(name)
    options.add_argument("igpn", nargs="+")
    variants = [f"igpn_{left_out}rendered_alone" for left_out in ("", "no_local_", "no_global_", "no_relation_")]
    options.add_argument("--recipes", nargs="+", default=variants)
    options.add_argument("--read", type=int, default=400, help="steps whose pairs are read")
    options.add_argument("--steps", type=int, default=300)
    options.add_argument("--pairs", type=int, default=64, help="pairs of a step")
    options.add_argument("--rate", type=float, default=0.00064)
    options.add_argument("--features", help="how they are compared, if not as by the IGPN itself")
    options.add_argument("--gallery-size", type=int)
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    size = {} if given.gallery_size is None else {"gallery_size": given.gallery_size}
    benchmark = load_benchmark(given.test, **size)
    train = load_benchmark(given.train)
    for igpn in given.igpn:
        seed = int(read_config(igpn, IGPN)[1]["recipe"]["seed"])
        asked = {"igpn": igpn, **{name: getattr(given, name) for name in ASKED}}
        files = {recipe: given.out / f"{recipe}-{seed}.json" for recipe in given.recipes}
        for file in files.values():
            if file.exists() and json.loads(file.read_text())["asked"] != asked:
                raise SystemExit(f"{file} was made with other settings: give another OUT")
        readings = read_pairs(igpn, train, given.read, given.out / f"readings-{seed}-{given.read}.safetensors")
        for recipe, file in files.items():
            if not file.exists():
                figures = run_once(recipe, igpn, seed, readings, benchmark, given, file.with_suffix(""))
                figures = {"recipe": recipe, "seed": seed, **figures, "asked": asked}
                part = file.with_suffix(".part")
                part.write_text(json.dumps(figures, indent=1) + "\n")
                part.replace(file)
                print(file.stem, figures, flush=True)
    print_table(read_results(given.out), given.recipes)


def run_once(
    name: str, igpn: str, seed: int, readings: Readings, benchmark: Benchmark, given: argparse.Namespace, out: Path
) -> dict[str, Any]:
    start = time.perf_counter()
    recipe = get_recipe(name)
    assert isinstance(recipe, IGPNRecipe)
    folder, config = read_config(igpn, IGPN)
    settings = read_settings(config, folder)
    torch.manual_seed(seed)
    features = given.features or settings.features
    network = build_igpn(replace(settings, features=features, local_relation=recipe.network.local_relation))
    handed_over = (EMBEDDING,) if features == settings.features else ()
    kept = {
        name: tensor.float()
        for name, tensor in load_file(folder / MODEL_FILE).items()
        if name.split(".")[0] not in SECOND or name.startswith(handed_over)
    }
    network.load_state_dict({**network.state_dict(), **kept})
    losses = train_second(network, IGPNCriterion(recipe.loss), readings, given.steps, given.pairs, given.rate, seed)
    save_weights(out, network, {"recipe": config["recipe"], "second_stage": name})
    minutes = (time.perf_counter() - start) / 60
    return {"minutes": round(minutes, 1), "losses": losses, **evaluate_weights(str(out), benchmark)[0].as_dict()}


def train_second(
    network: IGPN, criterion: IGPNCriterion, readings: Readings, steps: int, pairs: int, rate: float, seed: int
) -> dict[str, float]:
    """AdamW along a cosine, as `igpn_rendered_alone`. Gives the mean losses of the last tenth of the steps."""
    network.train()
    parts = nn.ModuleDict({name: getattr(network, name) for name in SECOND})
    optimizer = torch.optim.AdamW(parts.parameters(), rate, weight_decay=0.0001, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1, cycle_momentum=False)
    random = torch.Generator().manual_seed(seed)
    weight = criterion.settings.search_weight
    log: list[dict[str, float]] = []
    for _ in range(steps):
        chosen = torch.randint(len(readings.counts), (pairs,), generator=random)
        output = relate(network, readings, chosen)
        similarity, box = related_losses(output)
        search = nn.functional.cross_entropy(output.related.search, readings.held[chosen].long())
        optimizer.zero_grad()
        (similarity + box + weight * search).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parts.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        log.append({"similarity2": similarity.item(), "box2": box.item(), "search": search.item()})
    last = log[-max(1, steps // 10) :]
    return {name: round(mean(entry[name] for entry in last), 4) for name in last[0]}


def relate(network: IGPN, readings: Readings, chosen: Tensor) -> IGPNOutput:
    """The second stage's reading of some pairs."""
    counts = readings.counts[chosen].tolist()
    boxes = [some[:count] for some, count in zip(readings.boxes[chosen], counts, strict=True)]
    features = torch.cat([some[:count] for some, count in zip(readings.features[chosen], counts, strict=True)])
    with mixed_precision(features.device):
        query = QueryCode(None, None, readings.queries[chosen].float())
        related = network.relate(query, boxes, features.float())
    nobody = torch.zeros(0, dtype=torch.int64)
    targets = [
        Targets(person[None] if held else person.new_zeros(0, 4), nobody)
        for person, held in zip(readings.persons[chosen], readings.held[chosen].tolist(), strict=True)
    ]
    return IGPNOutput(None, related, readings.matches[chosen, : max(counts)], targets)  # type: ignore[arg-type]


@torch.inference_mode()
def read_pairs(weights: str, benchmark: Benchmark, steps: int, file: Path) -> Readings:
    """What a trained IGPN's second stage is given in `steps` steps of its own recipe; kept in `file`.

    Exits when the file holds what another IGPN read, or of other scenes.
    """
    made_from = {"igpn": weights, "scenes": benchmark.name}
    if file.exists():
        with safe_open(file, "pt") as held:
            if held.metadata() != made_from:
                raise SystemExit(f"{file} was read from {held.metadata()}: give another OUT")
    else:
        loaded = load_proposer(weights)  # on the CPU, as all that trains here
        recipe = settings_from_dict(IGPNRecipe, loaded.config["recipe"])
        batches = TrainingPairs(benchmark.train, recipe.pairs, recipe.seed)
        rows = [read_batch(loaded.model, batches[UNSEEN + step]) for step in range(steps)]
        part = file.with_suffix(".part")
        save_file({name: torch.cat([row[name] for row in rows]) for name in rows[0]}, part, made_from)
        part.replace(file)
    return Readings(**load_file(file))


def read_batch(network: IGPN, batch: Any) -> dict[str, Tensor]:
    """One step's pairs, as `IGPN.forward` would hand them to the second stage."""
    targets = [Targets(boxes, identities) for boxes, identities in zip(batch.boxes, batch.identities, strict=True)]
    with mixed_precision(network.stem.mean.device):
        pairs = network.read_pairs(batch.images, batch.patches, targets)
    count = network.settings.proposals.after_nms
    total = len(batch.patches)
    boxes, features = torch.zeros(total, count, 4), torch.zeros(total, count, pairs.features.shape[1]).half()
    matches = torch.full((total, count), -1)
    counts = torch.tensor([len(some) for some in pairs.boxes])
    persons = torch.zeros(total, 4)
    for place, (some, read) in enumerate(zip(pairs.boxes, torch.split(pairs.features, counts.tolist()), strict=True)):
        boxes[place, : len(some)], features[place, : len(some)] = some, read.half()
        matches[place, : len(some)] = pairs.matches[place]
        if len(batch.boxes[place]):
            persons[place] = batch.boxes[place][0]
    held = torch.tensor([len(some) > 0 for some in batch.boxes])
    return {
        "boxes": boxes,
        "counts": counts,
        "features": features,
        "queries": pairs.query.features.half(),
        "matches": matches,
        "persons": persons,
        "held": held,
    }


if __name__ == "__main__":
    main()
