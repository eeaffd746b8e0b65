"""Every figure as a reader gets it: no small print, no legend on data, no words upon words, a caption for each."""

from __future__ import annotations

from functools import partial
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from lrrecsys_core import paths
from lrrecsys_core import rows as r
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.fault_report import count_faults
from lrrecsys_core.report import drawings, environment_figures, figures, theory_figures
from lrrecsys_core.report.evidence import null_markets, sources
from lrrecsys_core.report.formats import minus, named
from lrrecsys_core.report.kept import keep
from lrrecsys_core.report.style import FORMATS, SMALL, WIDTH, log_ticks, panels, plain
from lrrecsys_core.theory.repetitions import bands
from tests.report.synthetic import everything

TOKENS = ("positive", "negative", "user", "item", "sequence")


def defects(fig: Figure) -> list[str]:
    """What is wrong with a figure as printed `WIDTH` inches wide."""
    canvas = FigureCanvasAgg(fig)
    fig.draw_without_rendering()
    ink, shrunk = canvas.get_renderer(), min(1.0, WIDTH / fig.get_figwidth())
    shown = [(text, text.get_window_extent(ink)) for text in texts(fig)]
    found = [f"{t.get_text()!r} in {t.get_size() * shrunk:.1f} pt" for t, _ in shown if t.get_size() * shrunk < SMALL]
    page = fig.bbox.padded(1)
    outside = [text for text, box in shown if not (page.contains(*box.min) and page.contains(*box.max))]
    found += [f"{text.get_text()!r} leaves the page" for text in outside]
    upright = [(text, box.padded(-0.5)) for text, box in shown if text.get_rotation() in (0, 90)]
    found += [f"{a.get_text()!r} on {b.get_text()!r}" for (a, p), (b, q) in combinations(upright, 2) if p.overlaps(q)]
    for legend in legends(fig):
        box = legend.get_window_extent(ink)
        found += ["a legend on data" for ax in fig.axes if ax.axison and ax.bbox.padded(-1).overlaps(box)]
    return found


def legends(fig: Figure) -> list[Legend]:
    return [*fig.legends, *(legend for ax in fig.axes if (legend := ax.get_legend()))]


def texts(fig: Figure) -> list[Text]:
    """All that is written, without the labels of ticks beyond an axis, which matplotlib keeps and does not draw."""
    found = [*fig.texts, *(text for legend in legends(fig) for text in legend.get_texts())]
    for ax in fig.axes:
        found += [ax.title, *ax.texts]
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            found += [axis.label, *(tick.label1 for tick in axis._update_ticks())]
    return [text for text in found if text.get_visible() and text.get_text()]


@pytest.fixture(scope="module")
def results() -> tuple[pl.DataFrame, pl.DataFrame]:
    return everything(users=25, replicates=3)


def aggregate(name: str, metrics: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """The numbers of a figure: of synthetic results where it is made of results, else those that are committed."""
    drawing = drawings.BY_NAME[name]
    if drawing.collect is not None:
        return drawing.collect(sources(metrics, predictions), null_markets(metrics, predictions))
    if name == "attention_map":
        pairs = [(what, a, b) for what in figures.MAPS for a in TOKENS for b in TOKENS]
        maps = pl.DataFrame(pairs, schema=["what", "from", "to"], orient="row")
        return maps.with_columns(title=pl.lit("hotels (simulated)"), share=0.2)
    if name == "faults":
        counted = count_faults([Answer("dull", "positive", "", "I'm sorry."), Answer("dull", "negative", "", "Tea.")])
        return counted.select(pl.lit("hotels (simulated)").alias("title"), pl.all())
    if drawing.of:
        return metrics
    folder = paths.repository() / "figures" / ("theory" if drawing.theory else "demo") / "data"
    file = folder / f"{name}.{'parquet' if drawing.rows else 'csv'}"
    return pl.read_parquet(file) if drawing.rows else pl.read_csv(file, infer_schema_length=None)


@pytest.mark.parametrize("name", list(drawings.BY_NAME))
def test_a_figure_can_be_read_in_print(
    name: str, results: tuple[pl.DataFrame, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (theory_figures, environment_figures):
        monkeypatch.setattr(module, "bands", partial(bands, draws=20))
    drawing = drawings.BY_NAME[name]
    drawn = drawing.draw(pl.DataFrame() if drawing.bare else aggregate(name, *results))
    figure = drawn[0] if isinstance(drawn, tuple) else drawn
    assert figure.get_figwidth() <= WIDTH
    assert defects(figure) == []
    assert len(drawing.caption) > 5 and not drawing.caption.endswith(".")


def test_small_print_legends_on_data_and_words_upon_words_are_found() -> None:
    fig, [[ax]] = panels(1, 1)
    ax.plot([0, 1], [0, 1], label="a line")
    assert defects(fig) == []
    ax.legend(loc="upper left")
    assert defects(fig) == ["a legend on data"]
    ax.get_legend().remove()
    ax.set_title("small", fontsize=6)
    assert defects(fig) == ["'small' in 6.0 pt"]
    ax.set_title("")
    for word in ("one", "two"):
        ax.text(0.5, 0.5, word)
    assert defects(fig) == ["'one' on 'two'"]
    fig.text(0.97, 0.5, "over the edge")
    assert "'over the edge' leaves the page" in defects(fig)


@pytest.mark.parametrize(("low", "high"), [(0.06, 0.3), (0.001, 20), (0.4, 4), (90, 130)])
def test_a_logarithmic_axis_has_several_plain_numbers(low: float, high: float) -> None:
    fig, [[ax]] = panels(1, 1)
    ax.plot([0, 1], [low, high])
    ax.set_yscale("log")
    log_ticks(ax.yaxis)
    fig.canvas.draw()
    bottom, top = ax.get_ylim()
    told = [text.get_text() for text in ax.get_yticklabels() if bottom <= text.get_position()[1] <= top]
    assert 2 <= len([text for text in told if text]) <= 10
    assert not any("10^" in text or "e" in text for text in told)


def test_words_names_and_signs() -> None:
    assert plain("share of S* for $5") == r"share of $S^*$ for \$5"
    assert named("movielens (unordered)") == "MovieLens (unordered)" and named("my shop") == "my shop"
    assert named("movielens: one item") == "MovieLens: one item" and named("yelp") == "Yelp" and named("") == ""
    assert minus("-0.5") == "\N{MINUS SIGN}0.5"


def test_every_figure_has_its_caption_beside_it_and_keeps_it(
    root: object, results: tuple[pl.DataFrame, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(_: object, run: str, stem: str) -> list[Path]:
        files = [paths.figures(run) / f"{stem}.{suffix}" for suffix in FORMATS]
        for file in files:
            file.touch()
        return files

    monkeypatch.setattr("lrrecsys_core.report.drawings.save", touched)
    metrics, predictions = results
    keep("demo", "metrics", metrics)
    drawings.collect_figures("demo", sources(metrics, predictions), [])
    drawings.draw_all("demo")
    told = drawings.captions("demo")
    files = {file.stem for file in paths.figures("demo").glob("*.png")}
    assert set(told) == files and {"fig06", "fig09_predicted", "reliability", "paper_against_ours"} <= files
    order = list(drawings.BY_NAME)
    assert all(order.index(a) < order.index(b) for a, b in pairwise(told))
    assert "Slope of the gain over the best baseline on disagreement: Hotels (simulated)" in told["fig06"]
    assert drawings.pictures("demo")["fig06"] == (told["fig06"], paths.figures("demo") / "fig06.svg")
    before = (paths.figures("demo") / "captions.md").read_bytes()
    drawings.draw("demo", "fig06", anew=False)
    assert (paths.figures("demo") / "captions.md").read_bytes() == before
    assert drawings.undrawn("demo") and "fig06" not in drawings.undrawn("demo")


def test_records_are_split_by_the_prediction_where_the_rating_is_not_known() -> None:
    metrics, predictions = everything(users=10, replicates=2)
    ours = pl.col("row") == r.LR
    # All that is liked is predicted low, and all else high: the two versions change places.
    turned = predictions.with_columns(prediction=pl.when(ours).then(1 - pl.col("liked")).otherwise("prediction"))
    true, told = (figures.collect_fig09(sources(metrics, turned), predicted=value) for value in (False, True))
    for a, b in (("high-rated", "low-rated"), ("low-rated", "high-rated")):
        np.testing.assert_allclose(true.filter(records=a)["mean"], told.filter(records=b)["mean"])


def test_reliability_finds_a_network_that_says_too_much() -> None:
    metrics, predictions = everything(users=40, replicates=3)
    for lean, right in ((0.0, True), (0.2, False)):
        told = pl.when(row=r.LR).then(pl.col("target") + lean).otherwise("prediction")
        frame = drawings.BY_NAME["reliability"].collect(sources(metrics, predictions.with_columns(prediction=told)), [])  # type: ignore[misc]
        ratings = frame.filter(task="regression")
        assert np.allclose(ratings["predicted"], ratings["effect"]) == right
        np.testing.assert_allclose(ratings["predicted"] - ratings["effect"], lean, atol=1e-9)


def test_ticks_are_the_numbers_themselves() -> None:
    fig, ((ax,),) = panels(1, 1)
    ax.plot([0, 1], [0.24955, 0.24957])
    fig.draw_without_rendering()
    assert ax.yaxis.get_offset_text().get_text() == ""
    assert all(text.get_text().startswith("0.2495") for text in ax.get_yticklabels())
