from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrrecsys_core import rows as r
from lrrecsys_core.report import drawings, environment_figures, more_figures, schematics, text_figures
from lrrecsys_core.report.evidence import null_markets, sources
from lrrecsys_core.report.formats import significant
from lrrecsys_core.report.kept import file_of
from lrrecsys_core.report.style import save
from tests.report.synthetic import everything, study

TOY = ("writer", "history", "candidate", "positive", "negative")
RUN = ("fig06", "fig07", "fig09", "fig10", "knowledge_dial", "controls", "cold_start", "learning_curves", "routing")


def _legend(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def _texts(fig: Figure) -> str:
    return " ".join(t.get_text() for ax in fig.axes for t in [ax.title, *ax.texts, ax.yaxis.label, ax.xaxis.label])


def drawn(name: str, metrics: pl.DataFrame, predictions: pl.DataFrame | None = None) -> Figure:
    """A figure by both of its halves, its aggregate written and read in between."""
    drawing = drawings.BY_NAME[name]
    assert drawing.collect is not None
    frame = drawing.collect(sources(metrics, predictions), null_markets(metrics, predictions))
    figure = drawing.draw(pl.read_csv(frame.write_csv().encode(), infer_schema_length=None))
    assert isinstance(figure, Figure)
    return figure


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    plt.close("all")


def test_schematics_save_identically_and_take_hostile_texts(root: Path) -> None:
    evil = r"costs $5 or \frac{$9} & more_"
    runs = []
    for _ in range(2):
        for name, fig in (
            ("fig01", schematics.fig01()),
            ("fig02", schematics.fig02(pl.DataFrame([dict.fromkeys(TOY, evil)] * 2))),
        ):
            save(fig, "smoke", name)
        runs.append({file.name: file.read_bytes() for file in (root / "figures" / "smoke").iterdir()})
    assert len(runs[0]) == 4 and runs[0] == runs[1]
    assert b"CreationDate" not in runs[0]["fig01.pdf"] and b"Software" not in runs[0]["fig01.png"]


def test_the_sixth_token_is_drawn_only_on_request() -> None:
    assert "context" in _texts(schematics.fig03()) and "context" not in _texts(schematics.fig03(context=False))
    assert all(width in _texts(schematics.fig04()) for width in ("400", "64", "8"))


def test_every_figure_labels_simulated_data() -> None:
    metrics, predictions = everything(users=20, replicates=2)
    for fig in (drawn(name, metrics, predictions) for name in RUN):
        assert "hotels (simulated)" in _texts(fig) and "not run" not in _texts(fig)


@pytest.mark.parametrize("with_predictions", [True, False])
def test_missing_rows_are_said_not_drawn(with_predictions: bool) -> None:
    metrics, predictions = study({r.GLOBAL_MEAN: 0.2}, replicates=2, users=5)
    for fig in (drawn(name, metrics, predictions if with_predictions else None) for name in RUN):
        assert "not run" in _texts(fig) and not any(ax.lines or ax.patches for ax in fig.axes if ax.axison)


def test_dial_draws_the_improvement_over_ablation_1() -> None:
    metrics, _ = everything(users=10)
    (source,) = sources(metrics)
    line = drawn("knowledge_dial", metrics).axes[0].lines[0]
    expected = [source.improvement("RMSE", name, r.ABLATION1).effect for name in r.DIAL.values()]  # type: ignore[union-attr]
    assert np.allclose(line.get_ydata(), expected) and list(line.get_xdata()) == list(r.DIAL)


def test_dial_needs_a_market() -> None:
    metrics, predictions = study({r.LR: 0.1}, simulated=False, dataset="movielens", replicates=1)
    assert "only simulated markets" in _texts(drawn("knowledge_dial", metrics, predictions))


def test_pies_show_the_mean_attention_and_skip_absent_context() -> None:
    metrics, predictions = study({r.LR: 0.1}, replicates=2)
    predictions = predictions.with_columns(attention_context=pl.lit(None, dtype=pl.Float64))
    fig = drawn("fig10", metrics, predictions)
    labels = [t.get_text() for t in fig.axes[0].texts]
    assert "context" not in labels and "sequence" in labels
    assert "explanations 40.0%" in fig.axes[1].get_title()


def test_the_regression_line_says_its_slope_and_significance() -> None:
    metrics, predictions = study({r.LR: 0.1, **dict.fromkeys(r.BASELINES[:4], 0.2)}, users=60)
    legend = [t.get_text() for t in drawn("fig06", metrics, predictions).axes[0].get_legend().get_texts()]
    assert legend[0].startswith("LR-Recsys: slope") and " p " in legend[0] and legend[1].startswith("placebo: ")


def test_keywords_take_any_text() -> None:
    lines = [{"title": "An inn $", "slot": "positive", "word": "$x$ spa", "texts": 3, "note": "", "left_out": ""}]
    fig = text_figures.keywords(pl.DataFrame(lines))
    fig.canvas.draw()
    assert "no explanations" in _texts(fig)


@pytest.mark.parametrize("seed", range(20))
def test_no_group_of_activity_is_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    activity = rng.choice(rng.integers(1, 40, size=1 + seed % 6), size=3 + 7 * seed)
    group = np.searchsorted(more_figures._edges(activity), activity, side="left")
    assert set(group) == set(range(len(more_figures._edges(activity)) + 1))


def test_cold_records_are_a_group_of_their_own_unless_they_are_few() -> None:
    many, few = np.repeat([0.0, 4, 5], [2, 90, 8]), np.repeat([0.0, 4, 5], [1, 190, 9])
    assert more_figures._ranges(many, more_figures._edges(many)) == ["0", "4", "5"]
    assert more_figures._ranges(few, more_figures._edges(few)) == ["0-4", "5"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.00012345, "0.00012"), (-0.0000449, "-0.000045"), (0.1, "0.10"), (12.3, "12"), (0.0, "0.0")]
)
def test_small_slopes_keep_their_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_the_regression_line_ends_with_the_bins() -> None:
    metrics, predictions = study({r.LR: 0.1, **dict.fromkeys(r.BASELINES[:4], 0.2)}, users=60)
    above, below = drawn("fig06", metrics, predictions).axes
    bins = below.lines[0].get_xdata()
    assert max(bins) < 0.9
    reach = [line.get_xdata() for line in above.lines if line.get_label().startswith(("LR-Recsys", "placebo"))]
    assert len(reach) == 2 and all(np.allclose([x[0], x[-1]], [bins[0], bins[-1]]) for x in reach)
    assert above.get_xlim() == below.get_xlim() and above.get_xlim()[1] < 1


def test_pies_and_uniform_attention_have_a_decimal() -> None:
    figure = drawn("fig10", *study({r.LR: 0.1}, replicates=2))
    assert "16.7%" in [text.get_text() for text in figure.axes[1].texts]


def test_a_small_gap_of_attention_is_seen_beside_the_uniform_share() -> None:
    metrics, predictions = study({r.LR: 0.1}, replicates=2)
    tokens = [name for name in predictions.columns if name.startswith("attention_")]
    near = predictions.with_columns((pl.col(name) - 1 / 6) / 50 + 1 / 6 for name in tokens)
    for ax in drawn("fig07", metrics, near).axes:
        low, high = ax.get_xlim()
        assert low < 0.13 and high > 0.2
        assert "Cohen's d = " in ax.texts[0].get_text()
        assert any(np.allclose(line.get_xdata(), 1 / 6) for line in ax.lines)


def test_figures_of_markets_are_left_out_of_real_runs(root: Path) -> None:
    for simulated in (True, False):
        metrics, predictions = study({r.LR: 0.1}, replicates=2, users=5, simulated=simulated)
        run = "market" if simulated else "real"
        drawings.collect_figures(run, sources(metrics, predictions), [])
        assert file_of(run, "knowledge_dial").is_file() == file_of(run, "bridge").is_file() == simulated
        assert file_of(run, "controls").is_file()


def _fractions(names: list[str]) -> dict[str, float]:
    return {r.at_fraction(name, p): 0.1 + 1 / p for name in names for p in r.FRACTIONS[1:]}


def test_a_baseline_run_on_all_the_data_only_is_a_level_beside_the_biases() -> None:
    noise = {r.LR: 0.1, "DIN": 0.15, "SASRec": 0.3, r.BIASES: 0.2, **_fractions([r.LR])}
    metrics, _ = study(noise, simulated=False, dataset="movielens", replicates=3)
    ax = drawn("learning_curves", metrics).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    for label, row, style in (("DIN (best on validation)", "DIN", "--"), (r.BIASES, r.BIASES, ":")):
        line = lines[f"{label}, n = 3"]
        expected = metrics.filter(row=row, metric="RMSE", part="test")["value"].mean()
        assert line.get_linestyle() == style and np.allclose(line.get_ydata(), expected)
        assert f"{label}, n = 3" in _legend(ax)
    both, _ = study(noise | _fractions(["DIN", r.BIASES]), simulated=False, dataset="movielens", replicates=3)
    lines = {line.get_label(): line for line in drawn("learning_curves", both).axes[0].lines}
    for label in ("DIN (best on validation)", r.BIASES):
        assert len(lines[f"{label}, n = 3"].get_xdata()) == len(r.FRACTIONS)


def test_controls_say_who_explains_and_what_is_silent() -> None:
    metrics, _ = study({r.LR: 0.1, r.ABLATION1: 0.1, r.SHUFFLE_ALL: 0.1}, replicates=2)
    part = pl.when(row=r.ABLATION1).then(0.0).otherwise(0.5)
    text = _texts(drawn("controls", metrics.with_columns(own_part=part)))
    assert "explanations: simulated reasoner" in text and f"{r.ABLATION1}: bias-only" in text
    assert "bias-only" not in _texts(drawn("controls", metrics.with_columns(own_part=pl.lit(0.5))))


def test_unordered_data_are_said_to_be() -> None:
    metrics, predictions = study({r.LR: 0.1}, simulated=False, dataset="yelp", replicates=1)
    untimed = metrics.with_columns(ordered=pl.lit(False))
    assert "yelp (unordered)" in _texts(drawn("fig10", untimed, predictions))
    assert "(unordered)" not in _texts(drawn("fig10", metrics, predictions))


def test_figures_of_theory_say_that_they_are_simulated() -> None:
    grid = pl.DataFrame({"repetition": [0, 1, 2]})
    methods = pl.DataFrame({"method": ["EILLS", "pooled regression", "Lasso"]})
    told = grid.join(methods, how="cross").join(pl.DataFrame({"environments": [1, 2]}), how="cross")
    told = told.with_columns(domain=pl.lit("hotels"), known=0.5, spurious=1, idle=pl.col("repetition"))
    figure, _ = environment_figures.knowledge(told)
    assert figure.get_suptitle().startswith("Simulated markets")
    methods = pl.DataFrame({"method": ["EILLS", "pooled least squares", "least squares on S*"]})
    moved = grid.join(methods, how="cross").join(pl.DataFrame({"shift": [-1.0, 0.0]}), how="cross")
    figure, _ = environment_figures.shift(moved.with_columns(risk=pl.col("repetition") + 1.0))
    assert "simulated" in figure.axes[0].get_title()
