"""How fast the parts of a network or a criterion learn beside the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

Paces = Mapping[str, Sequence[nn.Module]]
"""Parts by pace: "fresh" ones start at random where the rest was trained before; "correlation" ones are IGPN's
products of layers. `optimizer.fresh_factor` and `optimizer.correlation_factor` multiply their rates."""


class PacedModule(nn.Module):
    """A module that says which of its parts learn at another rate; by default none does."""

    def paces(self) -> Paces:
        return {}
