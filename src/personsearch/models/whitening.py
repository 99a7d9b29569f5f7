"""A start for the embedding layer from data: what people have in common is subtracted, what differs is spread.

Pooled ReLU features of any two people point almost the same way (cosine 0.9), and so do random projections of
them. Losses on cosines then begin at a collapse that takes thousands of steps to leave.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def whiten(embedding: nn.Linear, features: Tensor) -> None:
    """Sets an embedding layer [D] by the principal components of features [N, F]; N must be over D.

    Components are divided by the square root of their spread: half way to full whitening, which would blow up
    noise. Embeddings of the given features then have mean zero and a mean length near one.
    """
    count, dim = len(features), embedding.out_features
    if count <= dim:
        raise ValueError(f"{count} features are too few for {dim} dimensions")
    mean = features.mean(dim=0)
    _, spread, components = torch.linalg.svd(features - mean, full_matrices=False)
    weight = components[:dim] / spread[:dim, None].clamp(min=1e-6).sqrt()
    weight /= ((features - mean) @ weight.T).norm(dim=1).mean()
    embedding.weight.copy_(weight)
    embedding.bias.copy_(-weight @ mean)
