"""Averages weights with weights that were trained from them: python tools/average_weights.py OUT FIRST SECOND SHARE

OUT gets (1 - SHARE) of FIRST and SHARE of SECOND, tensor by tensor. The two must lie in one valley of the loss: SECOND
was trained from FIRST, on other data or another loss, and the average then keeps most of what either is good at
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). `--keep PREFIX...` takes tensors whose names
begin so from FIRST as they are, such as `rpn. head.score. head.delta. head.fit.`: what SECOND never trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from personsearch.errors import WeightsError
from personsearch.models.tensor_files import MODEL_FILE, fingerprint
from personsearch.models.weights import read_config, read_settings, save_weights, whole_network

N = TypeVar("N", bound=nn.Module)


def average(first: N, second: nn.Module, share: float, keep: tuple[str, ...] = ()) -> N:
    """`first` with `share`, in [0, 1], of `second` mixed in, but for tensors whose names begin with one of `keep`.

    Raises WeightsError when a tensor's shape differs.
    """
    ours, theirs = first.state_dict(), second.state_dict()
    if {k: t.shape for k, t in ours.items()} != {k: t.shape for k, t in theirs.items()}:
        raise WeightsError("the two hold other networks; give weights that were trained from one another")
    with torch.no_grad():
        for name, tensor in ours.items():
            if tensor.is_floating_point() and not name.startswith(keep):
                tensor.lerp_(theirs[name], share)
    return first


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    options.add_argument("first")
    options.add_argument("second")
    options.add_argument("share", type=float)
    options.add_argument("--keep", nargs="*", default=[])
    given = options.parse_args()
    folder, config = read_config(given.first)
    other, _ = read_config(given.second)
    settings = read_settings(config, folder)
    made = average(whole_network(folder, settings), whole_network(other, settings), given.share, tuple(given.keep))
    of = [fingerprint(path / MODEL_FILE) for path in (folder, other)]
    facts = {k: v for k, v in config.items() if k not in ("class", "network", "results", "licence")}
    save_weights(given.out, made, {**facts, "average": {"of": of, "share": given.share, "kept": given.keep}})
    print(f"{given.out}: {1 - given.share:g} of {given.first}, {given.share:g} of {given.second}")


if __name__ == "__main__":
    main()
