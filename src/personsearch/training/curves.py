"""The losses of a run as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from personsearch.errors import PersonSearchError


def draw_losses(log: Path, picture: Path) -> None:
    """Draws each loss of a run's log.jsonl over the steps, on a logarithmic scale. Draws nothing without lines."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    if not lines:
        return
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise PersonSearchError("drawing curves needs matplotlib: pip install 'personsearch[training]'") from None
    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss (weighted)", yscale="log")
    steps = [line["step"] for line in lines]
    for name in lines[-1].keys() - {"step", "rate", "seconds"}:
        axes.plot(steps, [max(line[name], 1e-5) for line in lines], label=name, linewidth=1)
    axes.legend(fontsize="small", ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(picture)
