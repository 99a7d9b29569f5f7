"""Find one person in many whole scene pictures.

The public names are loaded when first used, so that `import personsearch` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BINet": "models.binet",
    "Benchmark": "data.records",
    "Detections": "geometry.detections",
    "Gallery": "search.gallery",
    "Hit": "data.records",
    "IGPN": "models.igpn",
    "Person": "data.records",
    "PersonSearchError": "errors",
    "Query": "data.records",
    "Scene": "data.records",
    "SceneEncoder": "search.searchers",
    "SceneSearcher": "search.searchers",
    "SearchNetwork": "models.search_network",
    "TwoStageSearcher": "search.two_stage",
    "evaluate_model": "experiment",
    "evaluate_search": "evaluation.protocols",
    "load_benchmark": "data.sources",
    "load_searcher": "search.searchers",
    "load_weights": "models.weights",
    "synthesize": "synthesis.synthesize",
    "train": "experiment",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'personsearch' has no attribute {name!r}")
    return getattr(import_module(f"personsearch.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
