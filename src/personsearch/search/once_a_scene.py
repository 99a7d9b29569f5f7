"""One person is at one place of a scene, and a sure detection is a better answer than a doubtful one."""

from __future__ import annotations

import torch
from torch import Tensor

LEAD = 2.0
"""How much of the lead of the scene's most alike is taken off the others."""
SURENESS = 0.05
"""How much the logarithm of a detection's score counts, in cosines."""
_LEAST_SCORE = 1e-6
"""Scores below count as this: the logarithm of 0 would bury everything else."""


def once_a_scene(
    cosines: Tensor, scene_of: Tensor, scores: Tensor, *, lead: float = LEAD, sureness: float = SURENESS
) -> Tensor:
    """What N people are ranked by, as answers to one query:

        l_i = c_i - lead * (max_{j in scene of i} c_j - c_i) + sureness * log(max(s_i, 1e-6))

    Cosines c [N], numbers of their scenes `scene_of` [N] int64 from 0 on, in any order and with gaps, and scores s [N]
    of the detections in [0, 1] give likenesses l [N]. Whoever is less alike than another of the same scene is hardly
    the person asked for, so falls behind; equals share the lead. Cosines of -inf stay so, and nobody gives nobody.
    What a user is shown is c; this is for ranking alone.
    """
    if not len(cosines):
        return cosines.clone()
    most = cosines.new_full((int(scene_of.max()) + 1,), -torch.inf)
    most.scatter_reduce_(0, scene_of, cosines, "amax")
    behind = most[scene_of] - cosines
    likenesses = cosines - lead * behind + sureness * scores.to(cosines).clamp(min=_LEAST_SCORE).log()
    return likenesses.nan_to_num(nan=-torch.inf, neginf=-torch.inf)  # the lead in a scene of -inf alone is no number
