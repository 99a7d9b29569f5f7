"""Relations against loops; what is not there changes nothing."""

import torch
from torch import nn

from personsearch.models.relation import (
    EmbeddedFeatures,
    LocalRelationBlock,
    NoLocalRelation,
    QueryRelation,
    UnitFeatures,
    mean_relation,
)


def block(dim=6, embedding=4):
    made = LocalRelationBlock(dim, embedding)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def slow_block(made, relations, proposals):
    """Eq. 3-5 for one scene, proposal by proposal."""
    out = []
    for i in range(len(relations)):
        r = torch.stack([torch.exp(made.mu(proposals[i]) @ made.nu(proposals[j])) for j in range(len(relations))])
        mixed = sum(r[j] / r.sum() * made.g(relations[j]) for j in range(len(relations)))
        out.append(made.back(mixed) + relations[i])
    return torch.stack(out)


def test_the_block_is_the_equations():
    made, relations, proposals = block(), torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    out = made(relations, proposals, torch.ones(2, 5, dtype=torch.bool))
    expected = torch.stack([slow_block(made, r, f) for r, f in zip(relations, proposals, strict=True)])
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_rows_that_are_not_present_take_no_part():
    made, relations, proposals = block(), torch.randn(1, 5, 6), torch.randn(1, 5, 6)
    present = torch.tensor([[True, True, True, False, False]])
    out = made(relations, proposals, present)
    torch.testing.assert_close(out[0, :3], slow_block(made, relations[0, :3], proposals[0, :3]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out[0, 3:], relations[0, 3:])
    nobody = made(relations, proposals, torch.zeros(1, 5, dtype=torch.bool))
    torch.testing.assert_close(nobody, relations)
    assert made(relations[:, :0], proposals[:, :0], present[:, :0]).shape == (1, 0, 6)


def test_a_fresh_block_and_no_block_leave_relations_alone():
    relations, proposals, present = torch.randn(2, 3, 6), torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(LocalRelationBlock(6, 4)(relations, proposals, present), relations)
    assert NoLocalRelation()(relations, proposals, present) is relations


def test_the_order_of_proposals_does_not_matter():
    made, relations, proposals = block(), torch.randn(1, 5, 6), torch.randn(1, 5, 6)
    present, order = torch.ones(1, 5, dtype=torch.bool), torch.randperm(5)
    out = made(relations, proposals, present)
    torch.testing.assert_close(made(relations[:, order], proposals[:, order], present), out[:, order])


def test_a_proposal_like_the_query_has_the_relation_of_zero():
    relation = QueryRelation(6, nn.Identity(), 6)
    query = torch.randn(2, 6)
    out = relation(torch.stack([query, query + 1, query - 1], dim=1), query)
    torch.testing.assert_close(out[:, 0], relation.layers(torch.zeros(2, 6)))
    torch.testing.assert_close(out[:, 1], out[:, 2])


def test_unit_features_forget_how_long_they_were():
    features = torch.randn(3, 4, 6)
    scaled = UnitFeatures()(features)
    torch.testing.assert_close(scaled.square().mean(dim=2), torch.ones(3, 4))
    torch.testing.assert_close(UnitFeatures()(features * 7), scaled)
    assert torch.equal(UnitFeatures()(torch.zeros(2, 6)), torch.zeros(2, 6))


def test_features_are_embedded_before_they_are_compared():
    relation = QueryRelation(6, EmbeddedFeatures(5, 3), 3)
    proposals, query = torch.randn(2, 4, 5), torch.randn(2, 5)
    out = relation(proposals, query)
    layer = relation.prepared.embedding
    for pair, place in ((0, 0), (1, 3)):
        one, other = (layer(f) / layer(f).norm() * 3**0.5 for f in (proposals[pair, place], query[pair]))
        torch.testing.assert_close(out[pair, place], relation.layers((one - other) ** 2))


def test_mean_relation():
    relations = torch.arange(12.0).reshape(2, 3, 2)
    present = torch.tensor([[True, True, False], [False, False, False]])
    assert mean_relation(relations, present).tolist() == [[1, 2], [0, 0]]
