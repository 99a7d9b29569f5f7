"""How large an experiment is: as in the papers, small enough for a laptop, or tiny, which proves that the machine runs.

The small protocol keeps the papers' numbers of epochs, and shrinks scenes, regions and the training set instead. The
identity protocol also leaves detection out: minutes a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from personsearch.errors import SettingError
from personsearch.reproduce.tables import Weights
from personsearch.training.recipes import IdentityRecipe, IGPNRecipe, Recipe, ReidRecipe

SEARCH, IGPN, REID = Recipe.__name__, IGPNRecipe.__name__, ReidRecipe.__name__
IDENTITY = IdentityRecipe.__name__
"""The kinds of recipes, by which a scale tells them apart."""


@dataclass(frozen=True)
class Start:
    """What a run on rendered people starts from; on the papers' own data it is ImageNet weights."""

    weights: Weights | None = None
    """Another run of the same seed, trained before."""
    epochs: float | None = None
    """How long that run is; its recipe's own steps when None."""
    whole: bool = False
    """Whether all its weights are taken, or backbone and embedding alone."""
    name: str | None = None
    """Instead of a run, weights that ship, or "random"."""


@dataclass(frozen=True)
class Scale:
    """One size of experiment."""

    name: str
    says: str
    seeds: tuple[int, ...]
    rendered: Mapping[str, Any]
    """What `--data rendered` renders: arguments of `synthesize`."""
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Changes of recipes, by their kind."""
    epochs: Mapping[str, float] = field(default_factory=dict)
    """Length of runs by the kind of recipe; a recipe has its own number of steps where this says nothing."""
    starts: Mapping[str, Start] = field(default_factory=dict)
    """By the kind of recipe, on rendered people."""
    detected_boxes: bool = True
    """Whether re-id networks also learn from boxes that a detector of the same seed finds, as in the paper."""
    recipes: str | None = None
    """Suffix of the recipes; that of the data when None."""
    marks: int | None = None
    """Runs are also judged each so many steps; only those of recipes without detection."""
    trial: bool = False
    """Whether runs are too short for any claim to be judged."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """A step's on two CPU cores, roughly, by the kind of recipe. None are known for GPUs."""

    @property
    def detects(self) -> bool:
        """Whether people are found; otherwise all is read at annotated boxes."""
        return self.recipes != "identity"

    @property
    def for_rendered(self) -> bool:
        """Whether its sizes fit no data but rendered people."""
        return self.name in ("small", "identity")


_PAPER = Scale(
    "paper",
    "the papers' settings; on rendered people those of the recipes for them",
    (0,),
    {"identities": 1000, "scenes": 2300},
    starts={SEARCH: Start(Weights("patches")), IGPN: Start(name="binet-rendered"), REID: Start(name="binet-rendered")},
)

_SMALL = Scale(
    "small",
    "the papers' epochs on 280 scenes of 500x300, for two CPU cores",
    (0, 1, 2),
    {
        **{"identities": 160, "test_identities": 60, "scenes": 400, "test_scenes": 120},
        **{"width": 500, "height": 300, "seed": 31, "home": 0.8},
    },
    settings={
        SEARCH: (
            "batches.short_sides=[300]",
            "batches.long_side=500",
            "network.rois=32",
            "network.positive_fraction=0.25",  # eight patches a scene at most
            "network.train_proposals.after_nms=500",
            "network.test_size.short=300",
            "network.test_size.long=500",
            "optimizer.rate=0.00005",
        ),
        IGPN: (
            "pairs.short_sides=[300]",
            "pairs.long_side=500",
            "network.channels=256",
            "network.test_size.short=300",
            "network.test_size.long=500",
        ),
        REID: ("network.size=[192, 64]",),
    },
    epochs={SEARCH: 9, IGPN: 25, REID: 60},
    # detection alone, so that nobody is known yet: a warm-up on patches would teach what the branch is to teach
    starts={
        SEARCH: Start(Weights("detector"), epochs=3, whole=True),
        IGPN: Start(name="binet-rendered"),
        REID: Start(name="binet-rendered"),
    },
    seconds={SEARCH: 1.1, IGPN: 1.5, REID: 0.5},
)

_IDENTITY = Scale(
    "identity",
    "conv5 and embedding alone, six epochs of annotated boxes; nobody is detected",
    (0, 1, 2),
    {
        **{"identities": 120, "test_identities": 60, "scenes": 290, "test_scenes": 120},
        **{"width": 500, "height": 300, "seed": 31, "home": 0.8},
    },
    starts={IDENTITY: Start()},
    recipes="identity",
    marks=128,
    seconds={IDENTITY: 0.5},
)

_TINY_SCENES = ("network.test_size.short=96", "network.test_size.long=160")
_TINY = Scale(
    "tiny",
    "two steps a run: proves that everything runs, and nothing else",
    (0,),
    {
        **{"identities": 8, "test_identities": 4, "scenes": 16, "test_scenes": 8},
        **{"width": 300, "height": 200, "seed": 31, "home": 0.8},
    },
    settings={
        SEARCH: (
            "batches.short_sides=[96]",
            "batches.long_side=160",
            "network.rois=8",
            "network.train_proposals.after_nms=50",
            "network.test_proposals.after_nms=10",
            *_TINY_SCENES,
            "optimizer.steps=2",
        ),
        IGPN: (
            "pairs.scenes=1",
            "pairs.per_scene=3",
            "pairs.short_sides=[96]",
            "pairs.long_side=160",
            "network.channels=8",
            "network.proposals.after_nms=8",
            *_TINY_SCENES,
            "optimizer.steps=2",
        ),
        REID: ("network.size=[64, 32]", "batches.patches=4", "optimizer.steps=2"),
    },
    starts={kind: Start(name="random") for kind in (SEARCH, IGPN, REID)},
    detected_boxes=False,
    trial=True,
    seconds={SEARCH: 1.0, IGPN: 1.0, REID: 0.5},
)

SCALES = {scale.name: scale for scale in (_PAPER, _SMALL, _IDENTITY, _TINY)}


def get_scale(name: str) -> Scale:
    """A scale by name. Raises SettingError."""
    if name not in SCALES:
        raise SettingError(f"--scale {name}: choose one of {', '.join(SCALES)}")
    return SCALES[name]
