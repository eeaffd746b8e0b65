from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from lrrecsys_core import rows as r
from lrrecsys_core.report import drawings, environment_figures, figures, groups, more_figures, schematics, text_figures
from lrrecsys_core.report.evidence import null_markets, sources
from lrrecsys_core.report.formats import significant
from lrrecsys_core.report.kept import file_of
from lrrecsys_core.report.published import paper_values
from lrrecsys_core.report.scale import MARGIN_PERCENT, VIEW
from lrrecsys_core.report.style import FORMATS, save
from tests.report.synthetic import everything, study

TOY = ("writer", "history", "candidate", "positive", "negative")
RUN = [name for name, drawing in drawings.BY_NAME.items() if drawing.collect is not None and name != "bridge"]


def _legend(fig: Figure) -> list[str]:
    return [text.get_text() for legend in fig.legends for text in legend.get_texts()]


def _texts(fig: Figure) -> str:
    found = [[ax.title, *ax.texts, ax.yaxis.label, ax.xaxis.label, *ax.get_yticklabels()] for ax in fig.axes]
    return " ".join(text.get_text() for texts in found for text in texts)


def drawn(name: str, metrics: pl.DataFrame, predictions: pl.DataFrame | None = None) -> Figure:
    """A figure by both of its halves, its aggregate written and read in between."""
    drawing = drawings.BY_NAME[name]
    assert drawing.collect is not None
    frame = drawing.collect(sources(metrics, predictions), null_markets(metrics, predictions))
    made = drawing.draw(pl.read_csv(frame.write_csv().encode(), infer_schema_length=None))
    return made[0] if isinstance(made, tuple) else made


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
    assert len(runs[0]) == 2 * len(FORMATS) and runs[0] == runs[1]
    assert b"CreationDate" not in runs[0]["fig01.pdf"] and b"Software" not in runs[0]["fig01.png"]


def test_the_sixth_token_is_drawn_only_on_request() -> None:
    assert "context" in _texts(schematics.fig03()) and "context" not in _texts(schematics.fig03(context=False))
    assert all(width in _texts(schematics.fig04()) for width in ("400", "64", "8"))


def test_every_figure_labels_simulated_data() -> None:
    metrics, predictions = everything(users=20, replicates=2)
    for fig in (drawn(name, metrics, predictions) for name in RUN):
        assert "Hotels (simulated)" in _texts(fig) and "not run" not in _texts(fig)


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


def test_attention_is_shown_as_its_difference_from_uniform_without_absent_context() -> None:
    metrics, predictions = study({r.LR: 0.1}, replicates=3)
    predictions = predictions.with_columns(attention_context=pl.lit(None, dtype=pl.Float64))
    above, below = drawn("fig10", metrics, predictions).axes
    assert [text.get_text() for text in above.get_yticklabels()] == ["positive", "negative", "user", "item", "sequence"]
    kept = predictions.filter(task="classification", row=r.LR)
    means = [kept[f"attention_{name}"].mean() for name in ("positive", "negative")]
    for dot, mean in zip(above.containers, means, strict=False):
        np.testing.assert_allclose(float(dot[0].get_xdata()[0]), 100 * (mean - 0.2), atol=1e-5)  # type: ignore[operator]
    assert len(above.collections) == 5, "each has its interval"
    assert f"explanations {100 * sum(means):.1f}%, uniform 40.0%" in _texts(above.figure)  # type: ignore[arg-type]
    assert "not kept" in _texts(below.figure)


def test_permutation_importance_stands_beneath_the_attention() -> None:
    metrics, predictions = study({r.LR: 0.1, r.PERMUTED: 0.3}, replicates=3)
    (source,) = sources(metrics)
    expected = source.improvement("AUC", r.PERMUTED, r.LR)
    assert expected is not None and expected.effect < 0
    dot = drawn("fig10", metrics, predictions).axes[1].lines[0]
    assert dot.get_xdata() == pytest.approx([expected.effect])


def test_rounding_is_drawn_as_no_change() -> None:
    """Where no network reads the explanations, permuting them changes the AUC in the last digits alone."""
    tokens = [{"title": "yelp", "token": token, "share": 0.5} for token in ("positive", "negative")]
    for change in (1e-17, 0.5):
        about = {"effect": change, "low": 0.0, "high": 2 * change, "n": 300.0}
        frame = pl.DataFrame([*tokens, {"title": "yelp", "token": "explanations permuted", **about}])
        _, below = drawings.BY_NAME["fig10"].draw(frame).axes  # type: ignore[union-attr]
        assert np.ptp(below.get_xlim()) == pytest.approx(MARGIN_PERCENT * VIEW if change < 1e-3 else 1.5, rel=0.1)


def test_attention_kept_before_it_had_intervals_is_drawn_without() -> None:
    old = pl.DataFrame({"title": ["yelp"] * 2, "token": ["positive", "negative"], "share": [0.6, 0.4]})
    above, _ = drawings.BY_NAME["fig10"].draw(old).axes  # type: ignore[union-attr]
    np.testing.assert_allclose([above.lines[k].get_xdata()[0] for k in (0, 3)], [10, -10])
    for dots in above.containers:
        (bars,) = dots[2]
        assert all(np.ptp(ends[:, 0]) == 0 for ends in bars.get_segments())


def test_the_regression_line_says_its_slope_and_significance() -> None:
    metrics, predictions = study({r.LR: 0.1, **dict.fromkeys(r.BASELINES[:4], 0.2)}, users=60)
    told = _texts(drawn("fig06", metrics, predictions))
    assert re.search(r"LR-Recsys: \S+ \(p .*placebo ", told, flags=re.DOTALL)


def test_keywords_take_any_text() -> None:
    lines = [{"title": "An inn $", "slot": "positive", "word": "$x$ spa", "texts": 3, "note": "", "left_out": ""}]
    fig = text_figures.keywords(pl.DataFrame(lines))
    fig.canvas.draw()
    assert "no explanations" in _texts(fig)


@pytest.mark.parametrize("seed", range(20))
def test_no_group_of_activity_is_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    activity = rng.choice(rng.integers(1, 40, size=1 + seed % 6), size=3 + 7 * seed)
    group = np.searchsorted(groups.edges_of(activity), activity, side="left")
    assert set(group) == set(range(len(groups.edges_of(activity)) + 1))


def test_cold_records_are_a_group_of_their_own_unless_they_are_few() -> None:
    many, few = np.repeat([0.0, 4, 5], [2, 90, 8]), np.repeat([0.0, 4, 5], [1, 190, 9])
    assert groups.ranges(many, groups.edges_of(many)) == ["0", "4", "5"]
    assert groups.ranges(few, groups.edges_of(few)) == ["0-4", "5"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.00012345, "0.00012"), (-0.0000449, "−0.000045"), (0.1, "0.10"), (12.3, "12"), (0.0, "0.0")]
)
def test_small_slopes_keep_their_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_points_and_lines_are_of_the_same_records_and_end_together() -> None:
    metrics, predictions = study({r.LR: 0.1, **dict.fromkeys(r.BASELINES[:4], 0.2)}, users=60)
    (ax,) = drawn("fig06", metrics, predictions).axes
    lines = {line.get_label(): line for line in ax.lines}
    bins = lines["LR-Recsys, mean of a bin"]
    assert max(bins.get_xdata()) < 0.9 and ax.get_xlim()[1] < 1
    for label in ("LR-Recsys", "placebo: second-best baseline"):
        reach = lines[label].get_xdata()
        assert np.allclose([reach[0], reach[-1]], [bins.get_xdata()[0], bins.get_xdata()[-1]])
    # Bins are of equal size, so their mean is that of all records, through which the line goes.
    at = np.interp(np.mean(bins.get_xdata()), lines["LR-Recsys"].get_xdata(), lines["LR-Recsys"].get_ydata())
    assert at == pytest.approx(np.mean(bins.get_ydata()), rel=0.02)


def test_a_small_gap_of_attention_is_seen_beside_the_uniform_share() -> None:
    metrics, predictions = study({r.LR: 0.1}, replicates=2)
    tokens = [name for name in predictions.columns if name.startswith("attention_")]
    near = predictions.with_columns((pl.col(name) - 1 / 6) / 50 + 1 / 6 for name in tokens)
    figure = drawn("fig07", metrics, near)
    assert not any(patch.get_fill() for ax in figure.axes for patch in ax.patches), "outlines hide nothing"
    for ax in figure.axes:
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
    fig = drawn("learning_curves", metrics)
    lines = {line.get_label(): line for line in fig.axes[0].lines}
    assert "n = 3, best baseline DIN" in _texts(fig)
    for label, row, style in (("best baseline on validation", "DIN", "--"), (r.BIASES, r.BIASES, ":")):
        expected = metrics.filter(row=row, metric="RMSE", part="test")["value"].mean()
        assert lines[label].get_linestyle() == style and np.allclose(lines[label].get_ydata(), expected)
        assert label in _legend(fig)
    both, _ = study(noise | _fractions(["DIN", r.BIASES]), simulated=False, dataset="movielens", replicates=3)
    lines = {line.get_label(): line for line in drawn("learning_curves", both).axes[0].lines}
    for label in ("best baseline on validation", r.BIASES):
        assert len(lines[label].get_xdata()) == len(r.FRACTIONS)


@pytest.mark.parametrize("replicates", [2, 3, 5])
def test_learning_curves_have_the_spread_of_their_replicates(replicates: int) -> None:
    metrics, _ = study({r.LR: 0.1, **_fractions([r.LR])}, replicates=replicates)
    bands = drawn("learning_curves", metrics).axes[0].collections
    assert len(bands) == (replicates > 2), "two replicates show no spread"
    if not bands:
        return
    band = bands[0].get_paths()[0].vertices
    values = metrics.filter(row=r.LR, metric="RMSE", part="test")["value"]
    ends = band[np.isclose(band[:, 0], 100), 1]
    assert np.ptp(ends) == pytest.approx(2 * values.std(), rel=1e-6)


def test_numbers_of_paper_and_ours_are_joined_row_by_row() -> None:
    metrics, _ = study({r.LR: 0.1, "DIN": 0.2}, replicates=2, users=10)
    ax = drawings.BY_NAME["paper_against_ours"].draw(metrics).axes[0]  # type: ignore[union-attr]
    published = paper_values().filter(table=2, row="DIN", dataset="TripAdvisor", metric="RMSE")["mean"].item()
    ours = metrics.filter(row="DIN", metric="RMSE", part="test")["value"].mean()
    place = [text.get_text() for text in ax.get_yticklabels()].index("DIN")
    joined = [line.get_xdata() for line in ax.lines if list(line.get_ydata()) == [place, place]]
    np.testing.assert_allclose(joined, [[published, ours]])
    assert "published: TripAdvisor" in _texts(ax.figure)
    absent = [text.get_position()[1] for text in ax.texts if text.get_text() == "not run"]
    assert len(absent) > 10 and absent == sorted(absent), "in one order in every process: files have equal bytes"
    own = metrics.with_columns(dataset=pl.lit("shop"), simulated=pl.lit(False))
    assert "no published number" in _texts(drawings.BY_NAME["paper_against_ours"].draw(own)).replace("\n", " ")  # type: ignore[arg-type]


def test_the_caption_of_controls_says_who_explains_and_what_is_silent() -> None:
    metrics, _ = study({r.LR: 0.1, r.ABLATION1: 0.1, r.SHUFFLE_ALL: 0.1}, replicates=2)

    def caption(metrics: pl.DataFrame) -> str:
        return more_figures.controls(more_figures.collect_controls(sources(metrics, None), []))[1]

    silent = pl.when(row=r.ABLATION1).then(0.0).otherwise(0.5)
    text = caption(metrics.with_columns(own_part=silent))
    assert text.count("Explanations: simulated reasoner") == 1
    assert f"{r.ABLATION1}: bias-only, in Hotels (simulated), RMSE; Hotels (simulated), AUC." in text
    assert "bias-only" not in caption(metrics.with_columns(own_part=pl.lit(0.5)))


@pytest.mark.parametrize("size", [1e-8, 0.1])
def test_differences_of_rounding_do_not_fill_a_panel(size: float) -> None:
    panel = study({r.LR: 0.1, r.ABLATION1: 0.1}, replicates=2)[1]
    panel = panel.with_columns(prediction=pl.col("target") + size * (pl.col("prediction") - 0.5))
    frame = drawings.BY_NAME["routing"].collect(sources(study({r.LR: 0.1}, replicates=2)[0], panel), [])
    above, below = drawings.BY_NAME["routing"].draw(frame).axes  # type: ignore[arg-type]
    for ax in (above, below):
        low, high = ax.get_ylim()
        assert high - low >= 0.5e-4 and (high - low < 0.501e-4) == (size == 1e-8)
    assert below.get_ylim()[0] < 0 < below.get_ylim()[1]


def test_controls_that_differ_by_rounding_do_not_fill_a_panel() -> None:
    found = study({r.LR: 0.1, r.ABLATION1: 0.1, r.SHUFFLE_ALL: 0.1}, replicates=3)[0]
    alike = found.with_columns(value=0.2 + 1e-9 * pl.col("value"))
    widths = []
    for metrics in (alike, found):
        fig, _ = more_figures.controls(more_figures.collect_controls(sources(metrics, None), []))
        widths.append(float(np.ptp(fig.axes[0].get_xlim())))
    assert widths[0] == pytest.approx(0.1) and widths[1] > 0.1


def test_where_no_record_may_be_shown_the_attention_map_is_the_mean_alone() -> None:
    pairs = pl.DataFrame([(a, b) for a in "ab" for b in "ab"], schema=["from", "to"], orient="row")
    mean = pairs.with_columns(title=pl.lit("Yelp"), what=pl.lit(figures.MAPS[1]), share=0.5)
    assert len(figures.attention_map(mean).axes) == 1
    record = mean.with_columns(title=pl.lit("Hotels (simulated)"), what=pl.lit(figures.MAPS[0]))
    both = figures.attention_map(pl.concat([mean, record]))
    assert len(both.axes) == 4 and "records of real data are" in _texts(both)


def test_unordered_data_are_said_to_be() -> None:
    metrics, predictions = study({r.LR: 0.1}, simulated=False, dataset="yelp", replicates=1)
    untimed = metrics.with_columns(ordered=pl.lit(False))
    assert "Yelp (unordered)" in _texts(drawn("fig10", untimed, predictions))
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


def test_a_figure_without_anything_to_show_is_a_sentence_and_no_picture(root: Path) -> None:
    folder = root / "figures" / "real"
    for score, shown in ((0.1, True), (None, False), (0.1, True)):
        rows = {r.BIASES: 0.2} if score is None else {r.BIASES: 0.2, r.LR: score}
        metrics, predictions = study(rows, replicates=2, users=5, simulated=False)
        drawings.collect_figures("real", sources(metrics, predictions), [])
        file, reason = drawings.draw("real", "fig07")
        assert (file is not None) == shown == drawings.captions("real")["fig07"].startswith("Figure 7. Attention")
        assert len(list(folder.glob("fig07.*"))) == shown * len(FORMATS)
        assert drawings.not_drawn("real") == ({} if shown else {"fig07": "no attention recorded"})
        assert shown or reason == "no attention recorded"
