"""The table and the figure of the signal, from a frame small enough to follow by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from lrrecsys_core.report import drawings, signal
from lrrecsys_core.report.formats import Cell
from lrrecsys_core.report.kept import keep
from lrrecsys_core.report.page import write_report
from lrrecsys_core.report.style import OTHER, plain
from tests.report.test_page import collected

MARKETS = {  # link -> value on validation and on test, of the first of two markets; the second lies .02 above
    "tastes": (0.50, 0.40), "balance": (0.29, 0.20), "words": (0.19, 0.10), "codes": (0.19, 0.06),
    "trees": (0.09, 0.01), "fusion": (0.25, 0.20), "network": (0.21, 0.20), "networks": (0.11, 0.10),
}  # fmt: skip
REAL = {"words": (0.10, 0.08), "codes": (0.05, 0.03), "trees": (0.09, 0.08), "fusion": (0.04, 0.04)}


def source(name: str, simulated: bool = True) -> Any:
    return SimpleNamespace(dataset=name, simulated=simulated, ordered=True)


def links(name: str, values: dict[str, tuple[float, float]], *, parts: int = 2, **facts: object) -> pl.DataFrame:
    """Lines of two replicates; gains in AUC are a tenth of the shares."""
    return pl.DataFrame(
        [
            {"dataset": name, "replicate": k, "link": link, "task": task, "part": part, "sampled": False, "cell": "abc"}
            | {"value": (value + 0.02 * k) * unit}
            | facts
            for k in range(2)
            for task, unit in (("regression", 1.0), ("classification", 0.1))
            for link, both in values.items()
            for part, value in list(zip(("validation", "test"), both, strict=True))[2 - parts :]
        ]
    )


def read_again(frame: pl.DataFrame) -> pl.DataFrame:
    """As what is kept comes back."""
    return pl.read_csv(frame.write_csv().encode(), infer_schema_length=None)


def line(frame: pl.DataFrame, link: str, part: str = "validation", task: str = "regression") -> dict[str, Any]:
    return frame.filter(link=link, part=part, task=task).row(0, named=True)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def test_numbers_by_hand() -> None:
    frame = read_again(signal.collect_signal(links("hotels", MARKETS), [source("hotels")]))
    words = line(frame, "words")
    assert words["effect"] == pytest.approx(0.20) and words["n"] == 2 and words["title"] == "hotels (simulated)"
    half = 12.7062 * 0.01  # the t value of two markets times the standard error of .19 and .21
    assert words["low"] == pytest.approx(0.20 - half, abs=1e-5) and words["high"] == pytest.approx(
        0.20 + half, abs=1e-5
    )
    assert line(frame, "words", "test")["effect"] == pytest.approx(0.11)
    expected = {"balance": 1 - 0.30 / 0.51, "words": 1 / 3, "codes": 0.0, "trees": 0.5, "fusion": 0.0}
    expected |= {"network": 1 - 0.22 / 0.26, "networks": 1 - 0.12 / 0.26}
    assert line(frame, "tastes")["lost"] is None
    assert {link: line(frame, link)["lost"] for link in expected} == pytest.approx(expected)
    assert frame.filter(part="test")["lost"].null_count() == frame.filter(part="test").height


def test_links_that_lose_more_than_a_third_are_marked() -> None:
    frame = read_again(signal.collect_signal(links("hotels", MARKETS), [source("hotels")]))
    shares, gains = signal.signal_grids(frame)
    assert shares.header == ["", "validation", "test", "lost here"] and shares.groups[1] == ("Hotels", 3)
    assert [row[0] for row in shares.body] == list(signal.LABELS.values())
    lost = {row[0]: row[3] for row in shares.body}
    assert lost[signal.LABELS["trees"]] == Cell("50%", "over a third") and lost[signal.LABELS["network"]] == Cell("15%")
    assert lost[signal.LABELS["tastes"]] == Cell("") and lost[signal.LABELS["codes"]] == Cell("0%")
    assert shares.body[1][2] == Cell("0.210", "[0.083, 0.337]") and gains.body[1][2] == Cell("0.021", "[0.008, 0.034]")
    assert signal.loses({"lost": 0.34}) and not signal.loses({"lost": 1 / 3}) and not signal.loses({"lost": None})


def test_of_next_to_nothing_no_share_is_lost() -> None:
    assert signal.lost("regression", 0.0099, 0.0) is None and signal.lost("regression", 0.01, 0.0) == 1.0
    assert signal.lost("classification", 0.0019, 0.0) is None and signal.lost("classification", 0.002, -0.1) == 1.0
    assert signal.lost("regression", None, 0.3) is None and signal.lost("regression", -0.2, -0.3) is None


def test_what_may_be_chance_cannot_be_lost() -> None:
    unsure = MARKETS | {"words": (0.10, 0.10), "codes": (0.0, 0.0)}  # .10 and .12 are surely above 0 for no t of 2
    frame = read_again(signal.collect_signal(links("hotels", unsure), [source("hotels")]))
    assert line(frame, "words")["low"] < 0 < line(frame, "words")["effect"]
    assert line(frame, "codes")["lost"] is None and line(frame, "words")["lost"] is not None


def test_real_data_have_plain_values_and_no_truth() -> None:
    frame = read_again(signal.collect_signal(links("yelp", REAL, sampled=True), [source("yelp", simulated=False)]))
    shares, _ = signal.signal_grids(frame)
    assert [row[0] for row in shares.body] == [signal.LABELS[link] for link in REAL]
    assert shares.body[0] == [signal.LABELS["words"], Cell("0.110"), Cell("0.090"), Cell("")]
    assert shares.body[1][3] == Cell("45%", "over a third")
    notes = " ".join(signal.signal_notes(frame))
    assert "random sample of the training records: Yelp." in notes and "Simulated" not in notes
    assert signal.signal_title(frame).endswith("(real data)")


def test_without_validation_nothing_is_said_to_be_lost() -> None:
    frame = read_again(signal.collect_signal(links("hotels", MARKETS, parts=1), [source("hotels")]))
    shares, _ = signal.signal_grids(frame)
    assert {(row[1], row[3]) for row in shares.body} == {(Cell(""), Cell(""))}
    assert "nothing is said to be lost" in " ".join(signal.signal_notes(frame))
    ax = signal.signal(frame).axes[0]
    assert {to_hex(bar.get_facecolor()) for bar in ax.patches} == {OTHER}


def test_bars_run_from_the_ceiling_down_and_losing_links_stand_out() -> None:
    both = pl.concat([links("hotels", MARKETS), links("null-hotels", dict.fromkeys(MARKETS, (0.0, 0.0)))])
    fig = signal.signal(read_again(signal.collect_signal(both, [source("hotels"), source("null-hotels")])))
    fig.canvas.draw()
    first, null = fig.axes[:2]
    assert first.get_title() == "Hotels\n(simulated)" and null.get_title() == "Null hotels\n(simulated)"
    assert [text.get_text() for text in first.get_yticklabels()] == list(map(plain, signal.LABELS.values()))
    assert first.yaxis_inverted() and first.get_xlim() == null.get_xlim()
    shown = {round(bar.get_y() + bar.get_height() / 2, 2): bar for bar in first.patches}
    hatched = [bool(shown[k - 0.19].get_hatch()) for k in range(len(MARKETS))]
    assert hatched == [link in ("balance", "trees", "networks") for link in MARKETS]
    np.testing.assert_allclose([shown[k + 0.19].get_width() for k in (0, 4)], [0.41, 0.02])
    assert sorted(text.get_text() for text in first.texts) == ["−41%", "−50%", "−54%"] and not null.texts
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    ink = canvas.get_renderer()
    boxes = [ax.get_tightbbox(ink) for ax in fig.axes]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[k + 1 :])
    assert all(fig.bbox.x0 <= box.x0 and box.x1 <= fig.bbox.x1 for box in boxes)


def test_the_page_has_the_table_and_the_figure_where_they_are_kept(root: Path) -> None:
    from tests.report.synthetic import study

    collected("smoke", *study({"SASRec": 0.2}, replicates=2, users=5))
    assert signal.TITLE not in write_report("smoke", redraw=False).read_text(encoding="utf-8")
    keep("smoke", "signal", signal.collect_signal(links("hotels", MARKETS), [source("hotels")]))
    page = write_report("smoke", redraw=False).read_text(encoding="utf-8")
    assert f"{signal.TITLE} (SIMULATED markets)" in page and drawings.BY_NAME["signal"].caption in page
    files = {file.name for file in (root / "paper_tables" / "smoke").glob("signal.*")}
    assert files == {"signal.csv", "signal.md", "signal.tex"}
    assert (root / "figures" / "smoke" / "signal.png").is_file()
