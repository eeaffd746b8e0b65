from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from lrrecsys_core import rows as r
from lrrecsys_core.report import figures, more_figures, schematics
from lrrecsys_core.report.evidence import sources
from lrrecsys_core.report.style import save
from tests.report.synthetic import everything, study


def _texts(fig: Figure) -> str:
    return " ".join(t.get_text() for ax in fig.axes for t in [ax.title, *ax.texts, ax.yaxis.label, ax.xaxis.label])


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
            ("fig02", schematics.fig02([evil], evil, evil, evil, evil)),
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
    found = sources(metrics, predictions)
    drawn = [figures.fig06(found), figures.fig07(found[0]), figures.fig09(found), figures.fig10(found)]
    drawn += [more_figures.dial(found), more_figures.controls(metrics, predictions)]
    drawn += [more_figures.cold_start(found), more_figures.learning(found)]
    for fig in drawn:
        assert "hotels (simulated)" in _texts(fig) and "not run" not in _texts(fig)


@pytest.mark.parametrize("with_predictions", [True, False])
def test_missing_rows_are_said_not_drawn(with_predictions: bool) -> None:
    metrics, predictions = study({r.GLOBAL_MEAN: 0.2}, replicates=2, users=5)
    found = sources(metrics, predictions if with_predictions else None)
    drawn = [figures.fig06(found), figures.fig09(found), figures.fig10(found), more_figures.dial(found)]
    drawn += [more_figures.cold_start(found), more_figures.learning(found), more_figures.controls(metrics)]
    for fig in drawn:
        assert "not run" in _texts(fig) and not any(ax.lines or ax.patches for ax in fig.axes if ax.axison)


def test_dial_draws_the_improvement_over_ablation_1() -> None:
    metrics, _ = everything(users=10)
    (source,) = sources(metrics)
    line = more_figures.dial([source]).axes[0].lines[0]
    expected = [source.improvement("RMSE", name, r.ABLATION1).effect for name in r.DIAL.values()]  # type: ignore[union-attr]
    assert np.allclose(line.get_ydata(), expected) and list(line.get_xdata()) == list(r.DIAL)


def test_dial_needs_a_market() -> None:
    metrics, predictions = study({r.LR: 0.1}, simulated=False, dataset="movielens", replicates=1)
    assert "only simulated markets" in _texts(more_figures.dial(sources(metrics, predictions)))


def test_pies_show_the_mean_attention_and_skip_absent_context() -> None:
    metrics, predictions = study({r.LR: 0.1}, replicates=2)
    predictions = predictions.with_columns(attention_context=pl.lit(None, dtype=pl.Float64))
    fig = figures.fig10(sources(metrics, predictions))
    labels = [t.get_text() for t in fig.axes[0].texts]
    assert "context" not in labels and "sequence" in labels
    assert "explanations 40.0%" in fig.axes[1].get_title()


def test_the_regression_line_says_its_slope_and_significance() -> None:
    metrics, predictions = study({r.LR: 0.1, **dict.fromkeys(r.BASELINES[:4], 0.2)}, users=60)
    legend = [t.get_text() for t in figures.fig06(sources(metrics, predictions)).axes[0].get_legend().get_texts()]
    assert legend[0].startswith("LR-Recsys: slope") and " p " in legend[0] and legend[1].startswith("placebo: ")


def test_keywords_take_any_text() -> None:
    fig = more_figures.keywords([("$x$ spa", 3)], [], "An inn $", explainer="simulated reasoner")
    fig.canvas.draw()
    assert "no explanations" in _texts(fig)


@pytest.mark.parametrize("seed", range(20))
def test_no_group_of_activity_is_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    activity = rng.choice(rng.integers(1, 40, size=1 + seed % 6), size=3 + 7 * seed)
    group = np.searchsorted(more_figures._edges(activity), activity, side="left")
    assert set(group) == set(range(len(more_figures._edges(activity)) + 1))
