"""Tables 1-5 and Figures 4-6 of IGPN (Dong et al., CVPR 2020): the figures are the paper's, in percent."""

from __future__ import annotations

from personsearch.reproduce.tables import (
    CUHK_SYSU,
    PRW,
    AnyTable,
    Claim,
    Column,
    Figures,
    Row,
    SpeedRow,
    SpeedTable,
    Table,
    Term,
    Weights,
    above,
    alike,
    higher_column,
)

FULL, RESNET, PCB, DETECTOR = Weights("igpn"), Weights("reid"), Weights("pcb"), Weights("detector")

_G100 = Column("CUHK-SYSU, 100", CUHK_SYSU, 100)
_PRW = Column("PRW", PRW)
_COUNT = "cross_correlation_paper_count"


def _row(
    name: str,
    weights: Weights | None,
    paper: Figures,
    *,
    reid: Weights | None = None,
    keep: int | None = None,
    column: Column = _G100,
    parameters: tuple[str, str] | None = None,
) -> Row:
    return Row(name, weights, reid=reid, keep=keep, paper={column.name: paper}, parameters=parameters)


_QEEPS = (
    "Nobody has QEEPS's code: here it is its idea in IGPN's frame, means of query and scene that weigh the scene's "
    "channels before the proposals; it has no re-id network of its own."
)


def _table_1() -> Table:
    rows = (
        _row("VCCL", Weights("igpn_vccl"), (84.2, 84.1), parameters=("254M", _COUNT)),
        _row("ICCL (proposed)", FULL, (84.5, 84.1), parameters=("10M", _COUNT)),
        _row("ICCL without B", Weights("igpn_unshared"), (84.0, 83.9), parameters=("", _COUNT)),
    )
    claims = (
        alike("ICCL as good as VCCL", "ICCL (proposed)", "VCCL", 1.0),
        above("worse without B", "ICCL (proposed)", "ICCL without B"),
    )
    notes = ("The row without B is the text's, section 4.4.",)
    return Table("igpn-table-1", "The comparison of ICCL and VCCL", (_G100,), rows, claims, notes=notes)


def _table_2() -> Table:
    rows = (
        _row("full", FULL, (84.5, 84.1)),
        _row("w/o L", Weights("igpn_no_local"), (80.8, 79.2)),
        _row("w/o G", Weights("igpn_no_global"), (81.3, 80.9)),
        _row("w/o L&G", Weights("igpn_no_relation"), (79.2, 77.7)),
    )
    claims = (
        above("worse without L", "full", "w/o L"),
        above("worse without G", "full", "w/o G"),
        above("worse without both than without L", "w/o L", "w/o L&G"),
        above("worse without both than without G", "w/o G", "w/o L&G"),
    )
    return Table("igpn-table-2", "Two kinds of relation", (_G100,), rows, claims)


def _table_3() -> Table:
    rows = (
        _row("OIM", None, (75.5, 78.7)),
        _row("IAN", None, (76.3, 80.1)),
        _row("NPSM", None, (77.9, 81.2)),
        _row("RCAA", None, (79.3, 81.3)),
        _row("CNN_v + MGTS", None, (83.0, 83.7)),
        _row("CNN + CLSA", None, (87.2, 88.5)),
        _row("Context", None, (84.1, 86.5)),
        _row("QEEPS", Weights("igpn_qeeps"), (88.9, 89.1)),
        _row("IGPN + ResNet50 (100)", FULL, (80.8, 81.4), reid=RESNET, keep=100),
        _row("IGPN + ResNet50 (10)", FULL, (85.3, 85.7), reid=RESNET, keep=10),
        _row("IGPN + PCB (100)", FULL, (89.1, 90.5), reid=PCB, keep=100),
        _row("IGPN + PCB (20)", FULL, (90.3, 91.4), reid=PCB, keep=20),
    )
    claims = (
        above("fewer proposals are better (ResNet50)", "IGPN + ResNet50 (10)", "IGPN + ResNet50 (100)"),
        above("fewer proposals are better (PCB)", "IGPN + PCB (20)", "IGPN + PCB (100)"),
        above("PCB above ResNet50", "IGPN + PCB (100)", "IGPN + ResNet50 (100)"),
        above("IGPN + PCB above QEEPS", "IGPN + PCB (20)", "QEEPS"),
    )
    return Table("igpn-table-3", "Comparison on CUHK-SYSU, galleries of 100", (_G100,), rows, claims, notes=(_QEEPS,))


def _table_4() -> Table:
    rows = (
        _row("OIM", None, (21.3, 49.9), column=_PRW),
        _row("IAN", None, (23.0, 61.9), column=_PRW),
        _row("NPSM", None, (24.2, 53.1), column=_PRW),
        _row("CNN_v + MGTS", None, (32.6, 72.1), column=_PRW),
        _row("CNN + CLSA", None, (38.7, 65.0), column=_PRW),
        _row("Context", None, (33.4, 73.6), column=_PRW),
        _row("QEEPS", Weights("igpn_qeeps"), (37.1, 76.7), column=_PRW),
        _row("IGPN + ResNet50 (6k)", FULL, (41.1, 81.2), reid=RESNET, keep=6000, column=_PRW),
        _row("IGPN + ResNet50 (1.2k)", FULL, (42.9, 82.1), reid=RESNET, keep=1200, column=_PRW),
        _row("IGPN + PCB (6k)", FULL, (46.2, 86.1), reid=PCB, keep=6000, column=_PRW),
        _row("IGPN + PCB (1.2k)", FULL, (47.2, 87.0), reid=PCB, keep=1200, column=_PRW),
    )
    claims = (
        above("fewer proposals are better (ResNet50)", "IGPN + ResNet50 (1.2k)", "IGPN + ResNet50 (6k)"),
        above("fewer proposals are better (PCB)", "IGPN + PCB (1.2k)", "IGPN + PCB (6k)"),
        above("PCB above ResNet50", "IGPN + PCB (1.2k)", "IGPN + ResNet50 (1.2k)"),
        above("IGPN + ResNet50 above QEEPS", "IGPN + ResNet50 (6k)", "QEEPS"),
    )
    return Table("igpn-table-4", "Comparison on PRW", (_PRW,), rows, claims, notes=(_QEEPS,))


def _table_5() -> SpeedTable:
    rows = (
        SpeedRow("IGPN", 6, "igpn_gallery"),
        SpeedRow("OIM*", 15, "oim_gallery"),
        SpeedRow("MGTS", 127),
        SpeedRow("QEEPS", 30, "query_with_each_scene"),
    )
    claims = (
        Claim("IGPN is faster than OIM* for one query", (Term(1, "OIM*"), Term(-1, "IGPN"))),
        Claim("IGPN is faster than QEEPS for one query", (Term(1, "QEEPS"), Term(-1, "IGPN"))),
    )
    notes = (
        "One query in a gallery of 100, none of whose scenes was read before.",
        "Nobody has QEEPS's code: here OIM* reads the query's scene again with each scene, as QEEPS has to.",
        "The paper's OIM* is a re-implementation in PyTorch; here it is BINet's modified baseline.",
    )
    return SpeedTable("igpn-table-5", "Inference time for one query", rows, "OIM*", claims, notes)


KEPT = (5, 10, 20, 50, 100)


def _figure_4() -> Table:
    columns = tuple(Column(str(count), CUHK_SYSU, 100, keep=count) for count in KEPT)
    rows = (
        Row("IGPN + ResNet50", FULL, reid=RESNET, paper={"10": (85.3, 85.7), "100": (80.8, 81.4)}),
        Row("IGPN + PCB", FULL, reid=PCB, paper={"20": (90.3, 91.4), "100": (89.1, 90.5)}),
    )
    claims = (
        higher_column("fewer proposals are better (ResNet50: 10 above 100)", "IGPN + ResNet50", "10", "100"),
        higher_column("fewer proposals are better (PCB: 20 above 100)", "IGPN + PCB", "20", "100"),
        higher_column("too few hurt (ResNet50: 10 above 5)", "IGPN + ResNet50", "10", "5", printed=False),
        higher_column("too few hurt (PCB: 20 above 5)", "IGPN + PCB", "20", "5", printed=False),
    )
    notes = ("The paper draws its curve; what stands here is printed in Table 3. The other numbers are ours.",)
    return Table(
        "igpn-figure-4",
        "The number of proposals, galleries of 100",
        columns,
        rows,
        claims,
        axis="proposals kept",
        figure=True,
        notes=notes,
    )


_SIZES = (50, 100, 500, 1000, 2000, 4000)


def _figure_5() -> Table:
    columns = tuple(Column(str(size), CUHK_SYSU, size) for size in _SIZES)
    many, few = dict(zip(_SIZES, _SIZES, strict=True)), dict(zip(_SIZES, (10, 10, 25, 25, 25, 50), strict=True))
    rows = (
        Row("IGPN + ResNet50 (L)", FULL, reid=RESNET, keep=many, paper={"100": (80.8, 81.4)}),
        Row("IGPN + ResNet50 (S)", FULL, reid=RESNET, keep=few, paper={"100": (85.3, 85.7)}),
        Row("GT + ResNet50", RESNET, "labeled"),
    )
    claims = (
        *(
            higher_column(f"larger galleries are harder ({row.name})", row.name, "50", "4000", printed=False)
            for row in rows
        ),
        above("fewer proposals are better in galleries of each size", rows[1].name, rows[0].name, printed=False),
        above("IGPN above annotated boxes in galleries of each size", rows[1].name, rows[2].name, printed=False),
    )
    notes = ("The paper draws its curves; what stands here is printed in Table 3.",)
    return Table(
        "igpn-figure-5",
        "Gallery sizes",
        columns,
        rows,
        claims,
        axis="scenes in a gallery",
        figure=True,
        notes=notes,
    )


def _figure_6() -> Table:
    rows = (
        _row("Faster-RCNN + ResNet50", DETECTOR, (81.2, None), reid=RESNET),
        _row("IGPN + ResNet50", FULL, (85.3, 85.7), reid=RESNET, keep=10),
        _row("IGPN + PCB", FULL, (90.3, 91.4), reid=PCB, keep=20),
        _row("QEEPS", Weights("igpn_qeeps"), (88.9, 89.1)),
        _row("CNN + CLSA", None, (87.2, 88.5)),
        _row("Context", None, (84.1, 86.5)),
        _row("CNN_v + MGTS", None, (83.0, 83.7)),
        _row("RCAA", None, (79.3, 81.3)),
        _row("NPSM", None, (77.9, 81.2)),
        _row("IAN", None, (76.3, 80.1)),
        _row("OIM", None, (75.5, 78.7)),
    )
    claims = (
        above("IGPN above a plain detector before the same network", "IGPN + ResNet50", "Faster-RCNN + ResNet50"),
    )
    notes = ("81.2 is the text's, section 4.5; the others are printed in Table 3.", _QEEPS)
    return Table("igpn-figure-6", "Comparison on CUHK-SYSU", (_G100,), rows, claims, figure=True, notes=notes)


IGPN_TABLES: tuple[AnyTable, ...] = (
    *(_table_1(), _table_2(), _table_3(), _table_4(), _table_5()),
    *(_figure_4(), _figure_5(), _figure_6()),
)
