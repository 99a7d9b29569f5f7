"""The main flow of `export`: weights become graphs, which are compared with them before they are kept."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.data.queries import NO_QUERIES
from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.errors import DataError, PersonSearchError, SettingError
from personsearch.evaluation.answers import are_crops
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.export.parity import GATE, GATE_INT8, Judged, Parity, compare, judge_proposer
from personsearch.export.quantizing import (
    PATCHES,
    SCENES,
    calibration_scenes,
    has_fast_int8,
    quantize,
    sample_inputs,
)
from personsearch.export.tracing import check_tools, parts_of, write_onnx, write_openvino
from personsearch.files import beside, check_folder
from personsearch.models.embedders import load_embedder
from personsearch.models.graphs import (
    GRAPHS_FILE,
    GraphsAbout,
    digest_of,
    graph_path,
    write_graphs_about,
)
from personsearch.models.guided import GuidedNetwork
from personsearch.models.networks import Network
from personsearch.models.outside import Complain, PictureSettings, save_pictures
from personsearch.models.own_instance import INSTANCE_FILE, fingerprint_of_readings
from personsearch.models.projections import PROJECTIONS_FILE, SHARED_FILE
from personsearch.models.readers import Reader, ReidReader, read_with
from personsearch.models.reid import ReidNet
from personsearch.models.search_network import SearchNetwork
from personsearch.models.sessions import ONNX, OPENVINO, RUNTIMES
from personsearch.models.tensor_files import CONFIG_FILE, MODEL_FILE
from personsearch.models.weights import find_weights, load_proposer, load_reid, load_weights, read_config
from personsearch.progress import Progress, quiet
from personsearch.runtime import exact_arithmetic

PARITY_FILE = "parity.json"
SAMPLE = Path(__file__).parent.parent / "sample"


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how it is judged."""

    to: str
    """The runtime that reads the graphs: onnx, or openvino."""
    int8: bool = False
    calibrate: str | None = None
    """LAYOUT:DIR of pictures of people that eight bits are fitted to."""
    data: str | None = None
    """LAYOUT:DIR that both are judged on; the sample that ships when None."""
    force: bool = False
    """Whether to replace an older export, and to write one whose mAP falls by more than the gate."""

    def __post_init__(self) -> None:
        if self.to not in RUNTIMES:
            raise SettingError(f"--to {self.to}: choose one of {', '.join(RUNTIMES)}")
        if self.int8 and self.calibrate is None:
            raise SettingError("--int8 is fitted to pictures of people: name some by --calibrate LAYOUT:DIR")
        if self.calibrate is not None and not self.int8:
            raise SettingError("--calibrate is for eight bits: give --int8, too, or leave it out")


def export_model(
    model: str,
    out: Path,
    settings: ExportSettings,
    *,
    progress: Progress = quiet,
    complain: Complain = warnings.warn,
) -> Parity:
    """Writes a folder of weights whose heavy parts are graphs, and `parity.json`, which says how far they are from
    what torch does in float32.

    The folder is a model like any other; the file `embed.onnx` or `embed.xml` of a re-id network serves as `--reid`,
    too. Raises SettingError for what cannot be exported or a folder that holds anything else, WeightsError, DataError,
    and PersonSearchError where a tool is missing, or mAP falls by more than the gate; nothing is written then.
    """
    part = beside(out, "part")
    _check_out(out, settings.force)
    check_tools(settings.to)
    benchmark = _benchmark(settings.data or f"coco:{SAMPLE}")
    if settings.int8 and not has_fast_int8():
        complain("this CPU has no VNNI: eight bits are no faster here; use them on one that has it")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        parity = _fill(part, model, settings, benchmark, progress)
        (part / PARITY_FILE).write_text(json.dumps(parity.as_dict(), indent=2) + "\n", encoding="utf-8")
        if not parity.passes and not settings.force:
            raise PersonSearchError(
                f"{out}: not written, as mAP on {parity.data} falls by {parity.fall:.2f} points ({parity.worse[0]:.4f}"
                f" to {parity.worse[1]:.4f}), more than {parity.gate:g}: give other --calibrate pictures or more "
                "queries by --data, or write it all the same by --force"
            )
        _put_in_place(part, out)
    finally:
        with suppress(OSError):
            shutil.rmtree(part)
    return parity


def _put_in_place(part: Path, out: Path) -> None:
    """The older export stays until the new one is whole."""
    old = beside(out, "old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _check_out(out: Path, force: bool) -> None:
    check_folder(out)
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / GRAPHS_FILE).is_file():
        raise SettingError(f"{out}: holds other things than an export; give another folder")
    if not force:
        raise SettingError(f"{out}: is there already; give another name, or replace it with --force")


def _benchmark(spec: str) -> Benchmark:
    benchmark = load_benchmark(spec)
    if not benchmark.queries:
        raise DataError(f"{spec} {NO_QUERIES}; give another --data")
    return benchmark


def _fill(folder: Path, model: str, settings: ExportSettings, benchmark: Benchmark, progress: Progress) -> Parity:
    """Writes everything but `parity.json` into a folder that is there."""
    spec = settings.data or "the sample"
    for name in (CONFIG_FILE, MODEL_FILE, INSTANCE_FILE, PROJECTIONS_FILE, SHARED_FILE):
        if (find_weights(model) / name).is_file():
            shutil.copyfile(find_weights(model) / name, folder / name)
    with exact_arithmetic():
        network = _loaded(model, "torch")
        _write_graphs(network, folder, settings, progress)
        judged = _judge(network, benchmark, progress)
    parts = tuple(parts_of(network))

    def tell(agrees: bool) -> None:
        digest = digest_of(folder, parts, settings.to)
        weights = fingerprint_of_readings(folder)
        write_graphs_about(folder, GraphsAbout(settings.to, parts, settings.int8, agrees, digest, weights))

    tell(agrees=False)
    exported = _judge(_loaded(str(folder), settings.to), benchmark, progress)
    parity = compare(judged, exported, spec, benchmark, GATE_INT8 if settings.int8 else GATE)
    tell(parity.agrees)
    return parity


def _loaded(model: str, runtime: str) -> Any:
    """A network of any kind, run by torch, or by the graphs of its folder."""
    kind = read_config(model)[1]["class"]
    if kind == ReidNet.__name__:
        return load_reid(model).model if runtime == "torch" else load_embedder(model).model
    if kind == SearchNetwork.__name__:
        return load_weights(model, runtime=runtime).model
    return load_proposer(model, runtime=runtime).model


def _write_graphs(network: Network, folder: Path, settings: ExportSettings, progress: Progress) -> None:
    parts = parts_of(network)
    samples = {}
    if settings.int8 and settings.calibrate is not None:
        count = PATCHES if isinstance(network, ReidNet) else SCENES
        scenes = calibration_scenes(load_benchmark(settings.calibrate), settings.calibrate, count)
        samples = sample_inputs(network, scenes, progress)
    for name, part in progress(parts.items(), "writing graphs", len(parts)):
        path = graph_path(folder, name, ONNX)
        write_onnx(part, path)
        if settings.int8:
            quantize(path, samples[name])
        if settings.to == OPENVINO:
            write_openvino(path, folder)
            path.unlink()
        if isinstance(network, ReidNet):
            save_pictures(graph_path(folder, name, settings.to), PictureSettings(network.settings.size))


def _judge(network: Any, benchmark: Benchmark, progress: Progress) -> Judged:
    """As `evaluate` does it where nothing is said."""
    if isinstance(network, GuidedNetwork):
        return judge_proposer(network, benchmark, progress)

    def judged(reader: Reader, boxes: str) -> Judged:
        return Judged.of(evaluate_model(reader, benchmark, boxes=boxes, progress=progress))

    if not isinstance(network, SearchNetwork):
        return judged(ReidReader(network), "labeled")
    if are_crops(benchmark):
        return judged(read_with(network, "instance"), "labeled")
    found = judged(read_with(network, "search"), "detected")
    return found if network.own_instance is None else found.beside(judged(read_with(network, "instance"), "labeled"))
