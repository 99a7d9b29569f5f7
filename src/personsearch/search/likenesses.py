"""What everybody is ranked by, worked out for the few who come first, and for all others only if they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from personsearch.search.once_a_scene import LEAD, SURENESS, once_a_scene

LOOKS = (256, 4096)
"""People who are looked at before all others; more where these are too few."""
_FIRST_CANDIDATES = 256
_GROUP = 32


@dataclass(frozen=True)
class Likenesses:
    """Of N people, from cosines [N], numbers of their scenes [N], and scores [N] of their detections.

    With `once` by the rule of `once_a_scene`, else the cosines themselves.
    """

    cosines: Tensor
    scene_of: Tensor
    scores: Tensor
    once: bool = True
    lead: float = LEAD
    sureness: float = SURENESS

    @cached_property
    def everybody(self) -> Tensor:
        """[N]"""
        return self._of(slice(None))

    def falling(self, among: Tensor | None = None) -> Iterator[int]:
        """Numbers of people by falling likeness, equal ones by number; of those alone that are true in `among` [N], and
        of nobody with the cosine -inf, who cannot be compared.

        Nobody is more alike than the cosine says. So whoever is as alike as the least of the most alike by cosine
        comes before all others, and who leads in the scene of one of those is among them, too.
        """
        rest = self.cosines > -torch.inf
        if among is not None:
            rest &= among
        for count in LOOKS:
            if count >= len(self.cosines):
                break
            few = among_whom_the_largest_are(self.cosines, count)
            least = self.cosines[few].topk(count).values[-1]
            few = few[self.cosines[few] >= least]
            theirs = self._of(few)
            first = (theirs >= least) & rest[few]
            yield from _falling(theirs[first], few[first])
            rest[few[first]] = False
        others = torch.nonzero(rest).flatten()
        yield from _falling(self.everybody[others], others)

    def _of(self, people: Tensor | slice) -> Tensor:
        """As everybody's, if nobody else were there."""
        cosines = self.cosines[people]
        if not self.once:
            return cosines
        return once_a_scene(cosines, self.scene_of[people], self.scores[people], lead=self.lead, sureness=self.sureness)


def _falling(values: Tensor, people: Tensor) -> Iterator[int]:
    numbers = people.numpy()  # brackets of which are far faster
    return (int(numbers[place]) for place in descending(values))


def among_whom_the_largest_are(values: Tensor, count: int) -> Tensor:
    """Indices, rising, of few of N values, among which are the `count` <= N largest and all that equal one of these.

    Each group of values has a largest one. The `count` largest of those are `count` values, so whoever is below the
    least of them is not looked for: sorting a few costs a tenth of sorting all.
    """
    groups = len(values) // _GROUP
    if groups <= count:
        return torch.arange(len(values))
    largest = values[: groups * _GROUP].view(_GROUP, groups).amax(dim=0)
    return torch.nonzero(values >= largest.topk(count).values[-1]).flatten()


def descending(values: Tensor) -> Iterator[int]:
    """Indices by falling value, equal ones by index; sorts only as far as it is asked.

    >>> list(descending(torch.tensor([0.1, 0.9, 0.1, 0.5])))
    [1, 3, 0, 2]
    """
    array = values.numpy()  # on one thread: waking others costs more than this work
    above, count = np.inf, _FIRST_CANDIDATES
    while len(array):
        count = min(count, len(array))
        least = np.partition(array, len(array) - count)[len(array) - count]
        slab = np.flatnonzero((array >= least) & (array < above))
        yield from slab[np.argsort(-array[slab], kind="stable")].tolist()
        if count == len(array):
            return
        above, count = least, 4 * count
