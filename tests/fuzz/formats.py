"""Every format that the program reads: how small valid files of it are made, and how a user reaches its reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from layout_fixtures import make_benchmark
from PIL import Image, PngImagePlugin
from scipy.io import loadmat, savemat
from search_fakes import DIM, picture, save_pictures, save_video, searcher

from personsearch.data.check import check_data
from personsearch.data.layouts.coco import save_coco
from personsearch.data.layouts.cuhk_sysu_writer import save_cuhk_sysu
from personsearch.data.layouts.prw_writer import save_prw
from personsearch.data.pictures import ImageFile, picture_size
from personsearch.data.records import Scene
from personsearch.data.sources import load_benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.data.video import VideoFrame, read_header, sample_video
from personsearch.errors import DataError, InputError
from personsearch.models.correlation import CorrelatedScene
from personsearch.models.guided import SceneCode
from personsearch.models.reid import ReidSettings, build_reid
from personsearch.models.rpn import ProposalSettings
from personsearch.models.search_network import EMBEDDING_DIM, NetworkSettings, build_search_network
from personsearch.models.weights import load_reid, save_weights
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.rows import IndexedScene, Source
from personsearch.search.scene_codes import SceneCodes
from personsearch.search.searchers import load_searcher, read_scene
from personsearch.training.batches.scenes import Batch
from personsearch.training.checkpoints import save_checkpoint
from personsearch.training.detected_boxes import find_people
from personsearch.training.loop import CHECKPOINT, LOG, Training
from personsearch.training.optimizers import OptimizerSettings

Reads = Iterator[Callable[[], object]]


@dataclass(frozen=True)
class Format:
    """One format. Whatever its readers do, only a PersonSearchError may come out of them."""

    make: Callable[[Path], object]
    """Puts valid files, or folders of them, into an empty folder."""
    reads: Callable[[Path], Reads]
    """The public functions that read one of these, each to be called."""
    damaged: tuple[str, ...] = ()
    """Which files of a folder are damaged."""
    share: float = 1.0
    """Of the inputs that other formats have: less where one takes long."""


# ---------------------------------------------------------------------------------------- pictures and films


def _pictures(suffix: str, folder: Path) -> None:
    plain = picture([(1, 10), (2, 60)], (160, 96))
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a walk", 0x010F: "maker", 0x0131: "software", 0x011A: 72.0, 0x9286: b"note"})
    exif.get_ifd(0x8769).update({0x9003: "2020:01:01 00:00:00", 0x829A: 0.01})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 0.0)})
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Title", "a walk", zip=True)
    said = {"exif": exif.tobytes()} if suffix != "bmp" else {}
    for mode in ("RGB", "L", "P", "RGBA", "LA", "I;16", "CMYK", "1", "F"):
        more = {"pnginfo": text} if suffix == "png" else {}
        try:
            image = Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else None
            (image or plain.convert(mode)).save(folder / f"{mode.replace(';', '')}.{suffix}", **said, **more)
        except (OSError, ValueError, KeyError):  # a mode that the format does not have
            (folder / f"{mode.replace(';', '')}.{suffix}").unlink(missing_ok=True)
    plain.save(folder / f"progressive.{suffix}", progressive=True, **said)
    plain.save(folder / f"packed.{suffix}", compression="tiff_deflate" if suffix == "tif" else None)


def _read_picture(path: Path) -> Reads:
    yield lambda: ImageFile(path).read()
    yield lambda: picture_size(path)


def _films(suffix: str, folder: Path) -> None:
    for codec, sound in (("mpeg4", "mp2"), ("mpeg4", None), ("libx264", "aac"), ("mjpeg", None)):
        if not (suffix == "ts" and codec == "mjpeg"):
            _film(folder / f"{codec}{sound or ''}.{suffix}", codec, sound)


def _film(path: Path, codec: str, sound: str | None) -> None:
    import av

    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        container.metadata.update({"title": "a walk by the sea", "artist": "nobody"})
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.bit_rate = 64, 48, 40_000
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.metadata.update({"handler_name": "the handler", "language": "eng"})
        audio = container.add_stream(sound, rate=44100) if sound else None
        for i in range(10):
            image = picture([(3, 5 + i), (9, 120)]).resize((64, 48))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        for i in range(8 if audio else 0):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), "s16", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44100, 1152 * i, Fraction(1, 44100)
            container.mux(audio.encode(frame))
        container.mux(stream.encode())
        if audio:
            container.mux(audio.encode())


def _read_film(path: Path) -> Reads:
    yield lambda: read_header(path)
    yield lambda: list(sample_video(path, 0.3))
    yield lambda: [VideoFrame(path, index).read() for index in (3, 1)]
    yield lambda: read_scene(path, 0.5)


def _sources(folder: Path) -> None:
    save_pictures(folder / "walk", 2)
    picture([(1, 10)]).save(folder / "walk" / "photo.jpg")
    save_video(folder / "walk" / "film.avi", seconds=1)


def _index(folder: Path) -> Reads:
    def index() -> None:
        with Gallery.create(folder.parent / "made", model="fake", fingerprint="fake-1", dim=DIM) as gallery:
            failures = index_sources(gallery, searcher(), [folder], every=0.5).failures
            assert len(gallery) + len(failures)
        if failures:
            raise InputError(max(failures, key=lambda line: line.count("\n")))

    yield index


# ------------------------------------------------------------------------------------------------ benchmarks


def _beside(folder: Path) -> Path:
    """Where pictures lie that valid files are made of."""
    return folder.with_name(f"{folder.name}-pictures")


def _coco(folder: Path) -> None:
    benchmark = make_benchmark(_beside(folder))
    save_coco(benchmark, folder / "queries")
    save_coco(benchmark, folder / "derived")
    path = folder / "derived" / "annotations.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "queries"}))


def _mat(save: Callable[..., None], folder: Path) -> None:
    """As the writer makes them, and with every variable as it is instead of compressed."""
    benchmark = make_benchmark(_beside(folder))
    for name in ("compressed", "plain"):
        save(benchmark, folder / name)
    for path in (folder / "plain").rglob("*.mat"):
        held = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
        savemat(path, held, do_compression=False)


def _mot(folder: Path) -> None:
    rows = "".join(f"{frame},{who},{9 * who},2,10,20,1,1,0.5\n" for frame in range(1, 10) for who in (1, 2))
    for name in ("pictures", "film"):
        (folder / name).mkdir()
        (folder / name / "gt.txt").write_text(rows)
    (folder / "pictures" / "seqinfo.ini").write_text("[Sequence]\nname=a\nframeRate=5\nimDir=img1\nseqLength=9\n")
    (folder / "pictures" / "img1").mkdir()
    for number in range(1, 10):
        picture([(1, 10)]).resize((40, 24)).save(folder / "pictures" / "img1" / f"{number:06}.jpg")
    _film(folder / "film" / "film.ts", "mpeg4", None)


def _crops(folder: Path) -> None:
    (folder / "people").mkdir()
    for name in ("0001_0", "0001_5", "0002_1", "0002_6"):
        picture([(1, 10)]).resize((24, 48)).save(folder / "people" / f"{name}.jpg")


def _read_benchmark(layout: str, folder: Path) -> Reads:
    options = {"stride": 2, "gap": 4} if layout == "mot" else {}
    yield lambda: load_benchmark(f"{layout}:{folder}", **options)

    def check() -> None:
        problems = check_data(f"{layout}:{folder}").problems
        if problems:
            raise InputError(max(problems, key=lambda line: line.count("\n")))

    yield check


def _benchmark(layout: str, make: Callable[[Path], None], *damaged: str, share: float = 1.0) -> Format:
    return Format(make, partial(_read_benchmark, layout), damaged, share)


# ---------------------------------------------------------------------------------- weights, runs, galleries


def _weights(folder: Path) -> None:
    few, small = ProposalSettings(50, 5), SizeSettings(64, 128)
    search = build_search_network(NetworkSettings(test_proposals=few, test_size=small))
    save_weights(folder / "search", search, {"embedding": EMBEDDING_DIM})
    save_weights(folder / "reid", build_reid(ReidSettings(stripes=2, reduced=8)), {})


def _read_weights(folder: Path) -> Reads:
    if folder.name == "search":
        yield lambda: load_searcher(str(folder), "cpu").encode_scene(picture([(1, 10)]))
    else:
        yield lambda: load_reid(folder).model.embed(picture([(1, 10)]), torch.tensor([[10.0, 26, 30, 86]]))


class _NoBatches(torch.utils.data.Dataset[Batch]):
    """What a run would train on that has lost its last checkpoint."""

    def __getitem__(self, step: int) -> Batch:
        raise DataError(f"no batch {step}")


def _training() -> Training:
    settings = OptimizerSettings(steps=40)
    return Training(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1), _NoBatches(), settings, {"recipe": {"name": "tiny"}})


def _run(folder: Path) -> None:
    training, run = _training(), folder / "run"
    training.criterion(training.model(torch.ones(1, 3))).sum().backward()
    training.optimizer.step()
    run.mkdir()
    modules = {"model": training.model, "criterion": training.criterion}
    save_checkpoint(run / CHECKPOINT, modules, training.optimizer, {**training.facts, "step": 40})
    lines = [{"step": step, "rate": 0.001, "seconds": 1.5, "loss": 2.5} for step in (10, 20, 30, 40)]
    (run / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    _find(run)


def _find(folder: Path) -> object:
    scenes = [Scene(name, SimpleNamespace(read=lambda: Image.new("RGB", (32, 24))), 32, 24) for name in "abcd"]
    found = SimpleNamespace(boxes=torch.tensor([[1.0, 2, 30, 40]]))
    detector = SimpleNamespace(fingerprint="f1", model=SimpleNamespace(detect=lambda _image: found))
    return find_people(SimpleNamespace(name="small", train=scenes), detector, folder / "found.jsonl")


def _resume(folder: Path) -> Reads:
    yield lambda: _training().run(folder, resume=True, workers=0)
    yield lambda: _find(folder)


def _scene(name: str, frame: int | None = None) -> IndexedScene:
    people = searcher().encode_scene(picture([(1, 10), (2, 60)]))
    source = Source(f"/there/{name}", 10, 20, None if frame is None else 1.0)
    return IndexedScene(source, 160, 96, people, frame, None if frame is None else frame / 5)


def _gallery(folder: Path) -> None:
    """Several fragments, one of them with a deleted row."""
    with Gallery.create(folder / "gallery", model="fake", fingerprint="fake-1", dim=DIM) as gallery:
        gallery.add([_scene("a.jpg"), _scene("b.jpg")])
        gallery.add([_scene("walk.avi", frame) for frame in range(0, 15, 5)])
    for name in ("c.jpg", "d.jpg"):
        with Gallery.open(folder / "gallery", write=True) as gallery:
            gallery.add([_scene(name), _scene(f"other-{name}")])
    with Gallery.open(folder / "gallery", write=True) as gallery:
        gallery.forget("/there/c.jpg")


def _ask(folder: Path) -> Reads:
    yield lambda: Gallery.open(folder).people
    yield lambda: len(Gallery.open(folder))
    yield lambda: Gallery.open(folder).sources
    yield lambda: Gallery.open(folder).scenes()
    yield lambda: Gallery.open(folder).search(torch.ones(DIM))

    def write() -> None:
        with Gallery.open(folder, write=True) as gallery:
            gallery.add([_scene("new.jpg")])
            gallery.forget("/there/a.jpg")
            gallery.add([_scene("walk.avi", 20)])

    yield write
    yield lambda: Gallery.open(folder).search(torch.ones(DIM))


def _code(_scene: Scene) -> SceneCode:
    part = CorrelatedScene(torch.ones(1, 2, 3, 4), torch.ones(1, 1, 3, 4))
    return SceneCode(torch.ones(1, 2, 3, 4), part, part, (48, 64), torch.ones(4))


def _codes(folder: Path) -> None:
    (folder / "kept").mkdir()
    next(iter(_read_codes(folder / "kept")))()


def _read_codes(folder: Path) -> Reads:
    scene = Scene("a", ImageFile(Path(__file__)), 160, 96)

    def read() -> None:
        code = SceneCodes(folder, "fake-1", 10_000).get(scene, _code)
        assert code.maps.shape == code.repeated(1).maps.shape

    yield read


FORMATS = {
    **{name: Format(partial(_pictures, name), _read_picture) for name in ("jpg", "png", "tif", "webp", "bmp")},
    **{name: Format(partial(_films, name), _read_film) for name in ("mp4", "mkv", "avi", "ts")},
    "sources": Format(_sources, _index, ("*.jpg", "*.png", "*.avi"), share=0.3),
    "coco": _benchmark("coco", _coco, "annotations.json"),
    "mot": _benchmark("mot", _mot, "gt.txt", "gt.txt", "seqinfo.ini", "*.ts", "img1/*"),
    "cuhk-sysu": _benchmark("cuhk-sysu", partial(_mat, save_cuhk_sysu), "annotation/**/*.mat", share=0.4),
    "prw": _benchmark("prw", partial(_mat, save_prw), "annotations/*.mat", "*.mat", "query_info.txt", share=0.5),
    "crops": _benchmark("crops", _crops, "*.jpg", share=0.3),
    "weights": Format(_weights, _read_weights, ("config.json", "model.safetensors"), share=0.1),
    "run": Format(_run, _resume, ("*.safetensors", "log.jsonl", "found.jsonl")),
    "gallery": Format(_gallery, _ask, ("gallery.json", *(f"scenes.lance/{part}/*" for part in (
        "_versions", "_transactions", "data", "_deletions")))),
    "codes": Format(_codes, _read_codes, ("*.safetensors", "codes.json")),
}  # fmt: skip
