"""The study as notebook 06 runs it, shrunk: rows, cache, claims, figures and their sentences."""

from collections.abc import Iterator
from dataclasses import replace

import matplotlib.pyplot as plt
import polars as pl
import pytest

from lrrecsys_core.errors import InputError
from lrrecsys_core.report import environment_figures, theory_figures
from lrrecsys_core.theory.claims import evidence, judged, trend
from lrrecsys_core.theory.study import SIZES, Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRRECSYS_ROOT", str(tmp_path_factory.mktemp("root")))
        yield _small()


def _small() -> Study:
    made = Study("smoke")
    made.environments = (1, 2, 8)
    made.sizes = replace(
        SIZES["smoke"],
        linear=(25, 60),
        correlated=(25, 60),
        linear_repetitions=3,
        records=(100, 200),
        records_p=40,
        cross_validated=(25,),
        cross_validations=1,
        recovery_n=(200, 400),
        recovery_repetitions=5,
        one_environment_n=(200, 400),
        published_n=(200, 400),
        fair_n=(250, 500),
        fair_repetitions=2,
        important=(1, 2),
        inputs=(3, 6),
        inputs_n=150,
        nonlinear_n=(100, 200),
        nonlinear_repetitions=2,
    )
    return made


def test_sizes_follow_the_checklist() -> None:
    demo, full = SIZES["demo"], SIZES["full"]
    for sizes in (demo, full):
        assert sizes.linear_repetitions >= 100
        assert max(sizes.linear) >= 10_000
        assert sizes.nonlinear_repetitions >= 20
        assert max(sizes.nonlinear_n) >= 31.6 * min(sizes.nonlinear_n)
        assert set(sizes.important) == {1, 2, 5}
        assert max(sizes.inputs) <= 30
        assert len(sizes.cross_validated) <= 3
    assert set(SIZES) == {"smoke", "demo", "full"}
    with pytest.raises(InputError):
        Study("enormous")


def test_every_figure_and_sentence_from_cached_rows(study: Study) -> None:
    draw = [
        (theory_figures.fig05, study.linear),
        (theory_figures.regimes, study.linear),
        (theory_figures.sample_size, study.sample_size),
        (theory_figures.fig08, study.nonlinear_inputs),
        (theory_figures.nonlinear_records, study.nonlinear_records),
        (environment_figures.published, study.published),
        (environment_figures.recovery, study.recovery),
        (environment_figures.one_environment, study.one_environment),
        (environment_figures.gamma_path, study.gamma_path),
        (environment_figures.shift, study.shift),
        (environment_figures.fair, study.fair),
    ]
    for figure_of, rows_of in draw:
        rows = rows_of()
        stamp = {file: file.stat().st_mtime_ns for file in study.kept.glob("*.parquet")}
        assert rows_of().equals(rows)
        assert stamp and stamp == {file: file.stat().st_mtime_ns for file in study.kept.glob("*.parquet")}
        figure, sentence = figure_of(rows)
        assert figure.axes[0].lines
        assert any(character.isdigit() for character in sentence)
        assert "nan" not in sentence
        plt.close(figure)
    table = theory_figures.regime_table(study.linear())
    assert table["theory / oracle"].min() > 1  # type: ignore[operator]
    # Independent columns: s beta^2 = 20 for beta = 1.
    assert table.filter((pl.col("rho") == 0) & (pl.col("beta") == 1))["SNR"].to_list() == [20.0]


def test_a_run_on_real_data_reads_the_simulations_of_its_profile(study: Study) -> None:
    real = Study("smoke", ["movielens:ratings"])
    assert real.kept == study.kept and real.run != study.run
    real.sizes = study.sizes
    study.linear()
    kept = sorted(study.kept.iterdir())
    real.linear()
    assert sorted(study.kept.iterdir()) == kept


def test_claims_are_judged_for_the_report(study: Study) -> None:
    frame = evidence(study)
    assert set(frame["claim"]) == {"C17", "C18", "C19", "C20"}
    assert {"effect", "low", "high", "test", "p", "sample", "p_holm", "holds", "contrast"} <= set(frame.columns)
    assert (frame["low"] <= frame["effect"]).all()
    assert (frame["effect"] <= frame["high"]).all()
    one = frame.filter(claim="C19").row(0, named=True)
    assert one["effect"] < 0.5 and one["p"] < 0.01


def test_one_environment_has_to_stay_below_95_percent_and_the_others_above_zero_after_holm() -> None:
    """Of C19 the first has a rate that a test cannot tell from 95%, though its interval ends below 1."""
    lines = {"claim": ["C19", "C19", "C20", "C20", "C17"], "low": [0.4, 0.9, 0.05, 0.05, 0.1]}
    lines |= {"high": [0.99, 0.94, 0.2, 0.2, 0.3], "p": [0.5, 0.001, 0.03, 0.03, 0.03]}
    found = judged(pl.DataFrame(lines))
    assert found["holds"].to_list() == [False, True, False, False, True]
    assert found["p_holm"].to_list()[2:] == [0.06, 0.06, 0.03]


def test_trend_can_be_negative() -> None:
    rows = pl.DataFrame([{"repetition": r, "n": n, "exact": float(n == 1)} for r in range(10) for n in (1, 2, 4)])
    falling = trend(rows, "n")
    assert falling.effect == pytest.approx(-0.5)
    assert falling.p == 1
