"""The losses of a run as a picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from personsearch.errors import PersonSearchError
from personsearch.files import written_whole
from personsearch.training.logs import lines_up_to


def check_drawing() -> None:
    """Raises PersonSearchError where nothing can be drawn."""
    if find_spec("matplotlib") is None:
        raise PersonSearchError("a run draws its losses with matplotlib: pip install 'personsearch[training]'")


def draw_losses(log: Path, picture: Path) -> None:
    """Draws each loss of a run's log.jsonl over the steps, on a logarithmic scale, as PNG. Draws nothing without lines.

    Lines that are cut, or are no record of a step, are left out. Raises OSError.
    """
    lines = lines_up_to(log)
    if not lines:
        return
    check_drawing()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss (weighted)", yscale="log")
    for name in lines[-1].keys() - {"step", "rate", "seconds"}:
        points = [(line["step"], max(line[name], 1e-5)) for line in lines if isinstance(line.get(name), int | float)]
        axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
    axes.legend(fontsize="small", ncols=2)
    axes.grid(alpha=0.3)
    with written_whole(picture) as part:
        figure.savefig(part, format="png")
