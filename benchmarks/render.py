"""How many scenes a second the renderer makes: one process, then all of them.

    python benchmarks/render.py [--scenes 24] [--width 1000] [--height 600] [--workers 2] [--wardrobe DIR]

The first line leaves out what happens once in a process: loading the bodies and compiling the kernels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from personsearch.synthesis.synthesize import checked, quiet, synthesize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--wardrobe", type=Path, help="people wear what this folder holds")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    from personsearch.synthesis.scenes import render_scene
    from personsearch.synthesis.wardrobe import load_wardrobe

    settings = checked(100, 1000, 0, None, None, args.width, args.height)
    wardrobe = load_wardrobe(args.wardrobe) if args.wardrobe else None
    render_scene(settings, 999, wardrobe=wardrobe)
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(args.scenes):
        render_scene(settings, index, wardrobe=wardrobe)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"one process: {args.scenes / wall:.2f} scenes/s, {cpu / args.scenes:.2f} s of one core a scene")
    with tempfile.TemporaryDirectory() as folder:
        wall = time.perf_counter()
        size = {"width": args.width, "height": args.height}
        synthesize(
            Path(folder) / "out",
            identities=100,
            scenes=args.scenes,
            workers=args.workers,
            wardrobe=args.wardrobe,
            **size,
        )
        wall = time.perf_counter() - wall
    print(f"{args.workers} processes: {args.scenes / wall:.2f} scenes/s, starting up included")


if __name__ == "__main__":
    main()
