from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core.report import formats
from lrrecsys_core.report.formats import Cell
from lrrecsys_core.report.notes import table_notes, unordered
from lrrecsys_core.report.published import paper_values
from lrrecsys_core.report.tables import (
    SCHEMA,
    grids,
    parts_table,
    result_table,
    write_tables,
)
from tests.report.synthetic import everything, study


def _metrics(values: dict[str, list[float]], metric: str = "RMSE", **columns: object) -> pl.DataFrame:
    frame, _ = study(dict.fromkeys(values, 0.1), replicates=2, users=2)
    given = [
        frame.filter((pl.col("row") == row) & (pl.col("metric") == metric) & (pl.col("replicate") == i)).with_columns(
            value=pl.lit(value)
        )
        for row, found in values.items()
        for i, value in enumerate(found)
    ]
    return pl.concat(given).with_columns(**{k: pl.lit(v) for k, v in columns.items()})


def _cell(table: pl.DataFrame, row: str, metric: str = "RMSE", dataset: str = "hotels") -> dict[str, object]:
    return table.row(
        by_predicate=(pl.col("row") == row) & (pl.col("metric") == metric) & (pl.col("dataset") == dataset), named=True
    )


def test_the_registry_covers_every_published_row() -> None:
    published = {(t, row) for t, row in paper_values().select("table", "row").iter_rows()}
    assert published <= {(t, row.name) for row in r.ROWS for t in row.tables} | {(2, r.IMPROVED)}
    assert paper_values().height == 351


def test_means_spreads_and_improvement_by_hand() -> None:
    table = result_table(2, _metrics({r.LR: [0.10, 0.14], "SASRec": [0.20, 0.30], "DIN": [0.3, 0.3]}))
    ours = _cell(table, r.LR)
    assert (ours["ours_mean"], ours["ours_sd"]) == pytest.approx((0.12, 0.0282843), abs=1e-6)
    assert ours["replicates"] == 2 and ours["status"] == "not comparable" and "simulated" in str(ours["note"])
    improved = _cell(table, r.IMPROVED)
    # (.25 - .12) / .25 over SASRec; the paper's TripAdvisor column: (.1996 - .1889) / .1996.
    assert improved["ours_mean"] == pytest.approx(52.0) and "over SASRec" in str(improved["note"])
    assert improved["paper_mean"] == pytest.approx(5.36, abs=0.005)


def test_rows_without_results_say_so_and_stay_empty() -> None:
    metrics = _metrics({r.LR: [0.1, 0.2]})
    table = result_table(2, metrics)
    assert _cell(table, "SASRec")["status"] == "not run"
    assert _cell(table, "A3NCF")["ours_mean"] is None and _cell(table, "A3NCF")["paper_mean"] is not None
    assert _cell(table, r.LR, "AUC")["status"] == "not run"
    four = result_table(4, metrics)
    assert {_cell(four, row.name)["status"] for row in r.rows_of(4) if row.llm} == {"not run"}
    assert r.METADATA not in set(four["row"])
    assert r.DIAL[50] in set(four["row"])
    real = result_table(4, metrics.with_columns(simulated=pl.lit(False), dataset=pl.lit("movielens")))
    assert r.DIAL[50] not in set(real["row"])


def test_status_needs_the_same_records_and_the_same_llm() -> None:
    def status(table: int, row: str, value: float, **columns: object) -> object:
        values = _metrics({row: [value, value]}, simulated=False, dataset="tripadvisor", **columns)
        return _cell(result_table(table, values), row, dataset="tripadvisor")["status"]

    published = paper_values().filter((pl.col("row") == "PETER") & (pl.col("dataset") == "TripAdvisor"))
    mean, sd = published.filter(pl.col("metric") == "RMSE").select("mean", "sd").row(0)
    assert status(2, "PETER", mean + 1.9 * sd, same_data=True) == "reproduced"
    assert status(2, "PETER", mean - 2.5 * sd, same_data=True, llm="") == "differs"
    assert status(2, "PETER", mean) == status(2, "PETER", mean, same_data=False) == "not comparable"
    ours = 0.1889
    assert status(2, r.LR, ours, same_data=True, llm="llama-3.1") == "reproduced"
    assert status(2, r.LR, ours + 0.1, same_data=True, llm="llama-3.1") == "differs"
    assert status(2, r.LR, ours, same_data=False, llm="llama-3.1") == "not comparable"
    assert status(2, r.LR, ours, same_data=True, llm="llama-3") == "not comparable"
    # What is printed of the texts' author decides nothing, whatever it says.
    assert status(2, r.LR, ours, same_data=True, explainer="Llama 3.1 (llama-3.1)") == "not comparable"
    gpt2 = r.BY_NAME[r.GPT2].llm
    assert status(4, r.GPT2, 9.0, same_data=True, llm=gpt2) == "differs"
    assert status(4, r.GPT2, 9.0, same_data=True, llm="llama-3.1") == "not comparable"
    assert status(6, r.ABLATION1, 9.0, same_data=True, llm="") == "differs"
    assert status(2, r.GLOBAL_MEAN, 0.2, same_data=True) == "no published number"


def test_a_number_names_the_kept_cells_it_comes_from() -> None:
    metrics = _metrics({r.LR: [0.1, 0.2], "DIN": [0.3, 0.4]})
    key = pl.col("row").replace_strict({r.LR: "ours", "DIN": "theirs"}) + pl.col("replicate").cast(pl.String)
    assert set(result_table(2, metrics)["cell"]) == {""}
    table = result_table(2, metrics.with_columns(cell=key))
    assert _cell(table, "DIN")["cell"] == "theirs0 theirs1" and _cell(table, "DIN", "AUC")["cell"] == ""
    assert _cell(table, r.IMPROVED)["cell"] == "ours0 ours1 theirs0 theirs1" and _cell(table, "SASRec")["cell"] == ""
    hundred = _cell(result_table(3, metrics.with_columns(cell=key)), r.at_fraction(r.BEST_BASELINE, 100))
    assert hundred["cell"] == "theirs0 theirs1"
    assert list(table.columns)[-1] == "cell"


def test_table3_reuses_the_full_rows_and_names_the_best_baseline() -> None:
    table = result_table(3, _metrics({r.LR: [0.1, 0.1], "PETER": [0.3, 0.3], "DIN": [0.2, 0.2]}))
    assert _cell(table, r.at_fraction(r.LR, 100))["ours_mean"] == pytest.approx(0.1)
    assert _cell(table, r.at_fraction("PETER", 100))["ours_mean"] == pytest.approx(0.3)
    best = _cell(table, r.at_fraction(r.BEST_BASELINE, 100))
    assert best["ours_mean"] == pytest.approx(0.2) and "DIN" in str(best["note"])


def test_programmed_and_unordered_results_are_marked() -> None:
    values = _metrics({r.SUMMARY: [0.1, 0.1]}, by_construction=True, ordered=False)
    note = str(_cell(result_table(4, values), r.SUMMARY)["note"])
    assert "by construction" in note and "unordered data" in note
    first = grids(result_table(4, values))[0]
    (row,) = [row for row in first.body if row[0] == r.SUMMARY]
    assert row[1] == Cell("0.1000~†", "(0.0000)") and ("Hotels (unordered)", 3) in first.groups


def test_files_are_complete_labelled_and_identical_on_rerun(root: Path) -> None:
    metrics, _ = everything(replicates=2, users=10)
    null = study({r.LR: 0.1, r.ABLATION1: 0.1}, dataset="null-hotels", replicates=2, users=5)[0]
    parts = pl.DataFrame({"part": ["Fine-tuned AutoEncoder"], "dataset": ["hotels"], "parameters": [52224]})
    tables = write_tables("smoke", pl.concat([metrics, null]), parts=parts)
    folder = root / "paper_tables" / "smoke"
    names = sorted(file.name for file in folder.iterdir())
    tables_there = [*(f"table{i}" for i in range(1, 7)), "table_sensitivity", "table_rivals"]
    files = [f"{name}.{suffix}" for name in tables_there for suffix in ("csv", "md", "tex")]
    assert names == sorted([*files, *(f"{name}_notes.md" for name in tables_there[1:])])
    before = {name: (folder / name).read_bytes() for name in names}
    write_tables("smoke", pl.concat([metrics, null]).sample(fraction=1, shuffle=True, seed=1), parts=parts)
    assert {name: (folder / name).read_bytes() for name in names} == before
    for i in range(2, 7):
        assert list(pl.read_csv(folder / f"table{i}.csv").columns) == list(SCHEMA)
        assert "SIMULATED" in before[f"table{i}.md"].decode().splitlines()[0]
        assert "Explanations by simulated reasoner: LR-Recsys" in before[f"table{i}_notes.md"].decode()
    assert "52,224" in before["table1.md"].decode()
    assert set(tables[6].filter(pl.col("dataset") == "null-hotels")["row"]) == {r.LR, r.ABLATION1}
    assert "null-hotels" not in set(tables[2]["dataset"])
    assert (root / "results" / "smoke" / "costs.csv").is_file()


def test_table1_without_counts_says_not_run() -> None:
    assert set(parts_table(None)["status"]) == {"not run"}


def test_hostile_text_is_escaped(root: Path) -> None:
    evil = "<script>alert(1)</script> \\input{x} $a_b$ & 50% | `x`"
    grid = formats.Grid(evil, [evil], [[evil]])
    markdown, latex = formats.to_markdown(evil, [evil], [grid]), formats.to_latex(evil, [evil], [grid])
    assert "<script" not in markdown and "\\|" in markdown
    assert "\\input" not in latex and "\\textbackslash{}input\\{x\\}" in latex and "\\$a\\_b\\$ \\& 50\\%" in latex


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0123456, "0.0123"), (-1.5, "−1.5000"), (0.00043219, "0.00043"), (-0.0000456, "−0.000046"),
        (0.0010, "0.0010"), (0.0, "0.0000"), (1e-9, "0.0000"), (None, ""), (float("nan"), ""), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_a_small_difference_keeps_two_digits(value: float | None, shown: str) -> None:
    assert formats.effect(value) == shown


def test_data_without_time_and_texts_without_date_are_named_above_a_table() -> None:
    timed, untimed = _metrics({r.LR: [0.1]}), _metrics({r.LR: [0.1]}, ordered=False, dataset="yelp")
    assert unordered(timed) == [] and unordered(untimed)[0] in table_notes(2, pl.concat([timed, untimed]))[2]
    assert "without timestamps: Yelp." in unordered(pl.concat([timed, untimed]))[0]
    texts = _metrics({r.IMPORTED: [0.1]})
    for author, told in (("imported texts (for 40% of the records)", True), ("metadata explainer", False)):
        notes = table_notes(4, texts.with_columns(explainer=pl.lit(author)))
        assert any("carry no date" in note for note in notes) == told


def test_every_metric_has_a_direction() -> None:
    assert set(m.LOWER_IS_BETTER) == set(m.METRICS) == set(paper_values()["metric"])


def test_the_side_table_compares_on_the_replicates_that_all_its_rows_have() -> None:
    plain, side = "DIN", r.without_biases("DIN")
    metrics = _metrics({plain: [0.1, 0.2], side: [0.3]})
    table = result_table(r.SENSITIVITY, metrics)
    assert _cell(table, plain)["ours_mean"] == pytest.approx(0.1) and _cell(table, plain)["replicates"] == 1
    assert _cell(table, side)["ours_mean"] == pytest.approx(0.3)
    elsewhere = _metrics({plain: [0.1, 0.2]}, dataset="movies")
    assert set(result_table(r.SENSITIVITY, pl.concat([metrics, elsewhere]))["dataset"]) == {"hotels"}


def test_stars_follow_the_rule_of_the_claim_and_apart_from_it_a_t_test_over_runs() -> None:
    """By hand: .10 and .12 beside .20 and .24 are .11 less, se sqrt(.0001 + .0004) = .02236: t = 4.92 with 2 df."""
    metrics = _metrics({r.LR: [0.10, 0.12], "DIN": [0.20, 0.24], "SASRec": [0.11, 0.11], r.BIASES: [0.3, 0.3]})
    judged = [("DIN", 0.004, "supported"), ("SASRec", 0.03, "supported"), ("DIN", 0.001, "by construction")]
    evidence = pl.DataFrame(
        [
            {"claim": f"C{1 + (k > 1)}", "dataset": "hotels", "metric": "RMSE", "contrast": f"{r.LR} vs {name}"}
            | {"p_holm": p, "verdict": verdict}
            for k, (name, p, verdict) in enumerate(judged)
        ]
    )
    table = result_table(2, metrics, evidence)
    din, sasrec, ours = (_cell(table, name) for name in ("DIN", "SASRec", r.LR))
    assert (din["p"], din["stars"], din["best"]) == (0.004, "***", False)
    assert (sasrec["p"], sasrec["stars"], sasrec["best"]) == (0.03, "**", True)
    assert din["p_runs"] == pytest.approx(0.0195, abs=0.0005) and din["stars_runs"] == "**"
    assert sasrec["p_runs"] == ours["p_runs"] == pytest.approx(0.5) and ours["stars_runs"] == ""
    # Twelve of the fourteen were not run, so that nobody knows whether it beats them all.
    assert ours["p"] is None and ours["stars"] == "" and _cell(table, r.BIASES)["stars"] is None
    every = pl.concat([evidence.head(1).with_columns(contrast=pl.lit(f"{r.LR} vs {name}")) for name in r.BASELINES])
    assert _cell(result_table(2, metrics, every), r.LR)["stars"] == "***"
    assert _cell(result_table(2, metrics, every), r.IMPROVED)["p"] == 0.004
    unknown = every.with_columns(verdict=pl.lit("not tested"))
    assert _cell(result_table(2, metrics, unknown), r.LR)["p"] is None
    assert result_table(3, metrics, evidence)["stars"].null_count() == result_table(3, metrics).height


def test_the_rivals_have_a_table_once_one_of_their_own_rows_was_run(root: Path) -> None:
    shared = {r.LR: [0.1, 0.2], r.ABLATION1: [0.3, 0.4], r.SHUFFLE_ALL: [0.31, 0.41]}
    assert r.RIVALS not in write_tables("smoke", _metrics(shared))
    placebo = f"{r.WITH}Anna, shuffled within item"  # whether or not Anna is named where the table is made again
    assert r.RIVALS in write_tables("smoke", _metrics(shared | {f"{r.WITH}Anna": [0.2, 0.2], placebo: [0.2, 0.2]}))
    metrics = _metrics(shared | {r.REMOVED[50]: [0.2, 0.2]})
    table = write_tables("smoke", metrics)[r.RIVALS]
    assert _cell(table, r.REMOVED[50])["ours_mean"] == pytest.approx(0.2)
    assert _cell(table, r.EXCHANGED[100])["ours_mean"] == pytest.approx(0.36)
    assert _cell(table, r.LATE_ENSEMBLE)["status"] == "not run"


def test_the_side_table_counts_the_silent_networks_that_it_shows() -> None:
    plain, side = "DIN", r.without_biases("DIN")
    metrics = pl.concat([_metrics({plain: [0.1, 0.2], side: [0.3]}), _metrics({plain: [0.1]}, dataset="movies")])
    silent = metrics.with_columns(own_part=pl.when(pl.col("row") == plain).then(0.0).otherwise(1.0))
    (note,) = [note for note in table_notes(r.SENSITIVITY, silent) if "are bias-only" in note]
    assert note.startswith("On Hotels") and note.endswith(f": {plain} 1 of 1.")


def test_rows_on_fewer_replicates_than_the_rest_are_named() -> None:
    part = r.at_fraction("DIN", 50)
    metrics = _metrics({r.at_fraction(r.LR, 50): [0.1, 0.2], part: [0.3]})
    assert f"On Hotels, 1 of 2 replicates only: {part}." in table_notes(3, metrics)
    assert not any("replicates only" in note for note in table_notes(2, metrics))


def test_the_size_of_every_baseline_is_named() -> None:
    metrics = _metrics({r.LR: [0.1, 0.2], "DIN": [0.3, 0.4], "SASRec": [0.3, 0.4]})
    size = pl.col("row").replace_strict({r.LR: "", "DIN": "matched", "SASRec": "published"}).alias("size")
    notes = table_notes(2, metrics.with_columns(size))
    assert "At matched size, as wide as LR-Recsys (SULM also narrower, by its grid): DIN." in notes
    assert "At the published size, better on validation: SASRec (Hotels)." in notes


def test_rows_whose_networks_say_nothing_of_their_own_are_counted() -> None:
    metrics = _metrics({r.LR: [0.1, 0.2], "DIN": [0.3, 0.4], r.BIASES: [0.3, 0.4]})
    own = pl.col("row").replace_strict({r.LR: 0.009, "DIN": 0.011, r.BIASES: None}, return_dtype=pl.Float64)
    told = metrics.with_columns(
        own_part=pl.when((pl.col("row") == r.LR) & (pl.col("replicate") == 1)).then(0.5).otherwise(own)
    )
    (note,) = [note for note in table_notes(2, told) if "are bias-only" in note]
    assert note.startswith("On Hotels") and note.endswith(f": {r.LR} 1 of 2.")
    assert not any("are bias-only" in note for note in table_notes(2, metrics))
    assert not any("are bias-only" in note for note in table_notes(3, told.filter(pl.col("row") == "DIN")))


def test_the_best_and_the_best_baseline_are_marked_as_printed() -> None:
    # ANR is the best on validation, AARM on the test records; what knows a market's truth is not compared.
    values = {r.LR: 0.21, "ANR": 0.25, "AARM": 0.24, "DIN": 0.30, r.BIASED_MF: 0.20004, r.BIASES: 0.2, r.CEILING: 0.1}
    metrics = _metrics({name: [value] for name, value in values.items()})
    validation = pl.col("row").replace_strict({"ANR": 0.1, "AARM": 0.2}, default=0.3)
    metrics = metrics.with_columns(value=pl.when(part="validation").then(validation).otherwise("value"))
    ours = grids(result_table(2, metrics))[0]
    looks = {row[0]: row[1].look for row in ours.body if isinstance(row[1], Cell)}
    assert {name: look for name, look in looks.items() if look} == {
        r.BIASED_MF: "bold", r.BIASES: "bold", "ANR": "underlined",
    }  # fmt: skip
    groups = [ours.rules[k] for k in sorted(ours.rules)]
    assert groups[:4] == ["", "Aspect-based baselines", "Sequential baselines", "Interpretable baselines"]
    assert ours.body[min(k for k, name in ours.rules.items() if name.startswith("Sequential"))][0] == "SASRec"


def test_the_baseline_that_validation_chose_is_marked_without_lr_recsys_too() -> None:
    # DIN is the better one on the test records, ANR on validation.
    metrics = _metrics({"ANR": [0.25], "DIN": [0.24], r.BIASES: [0.2]})
    chosen = pl.col("row").replace_strict({"ANR": 0.1, "DIN": 0.3}, default=0.3)
    metrics = metrics.with_columns(value=pl.when(part="validation").then(chosen).otherwise("value"))
    looks = {row[0]: row[1].look for row in grids(result_table(2, metrics))[0].body if isinstance(row[1], Cell)}
    assert "underlined" in looks["ANR"] and "underlined" not in looks["DIN"]


def test_numbers_in_tables_have_a_minus_and_zero_has_no_sign() -> None:
    assert (formats.number(-0.25, 2), formats.number(-0.001, 2), formats.percent(-0.001)) == ("−0.25", "0.00", "+0.00%")
    assert formats.latex("−0.42% ***") == r"\(-\)0.42\% \(^{***}\)" and formats.latex("S*") == r"S\(^{*}\)"


def test_published_shows_what_is_printed_and_what_it_should_be() -> None:
    published = grids(result_table(2, pl.concat([_metrics({r.LR: [0.1]}, dataset=d) for d in ("hotels", "movies")])))[1]
    improved = next(row for row in published.body if row[0] == r.IMPROVED)
    assert improved[1] == Cell("+5.36%", "***") and improved[6] == Cell("+3.65%", "***‡")
    assert list(published.foot) == ["‡ Amazon Movie AUC: the paper prints +3.65%; its own means give +3.79%."]
    (best,) = [row[0] for row in published.body if row[6].look == "underlined"]
    assert best == "PETER" and published.body[0][6] == Cell("0.7500", "(0.0018)", "bold")


def test_every_cell_of_ours_has_a_sign() -> None:
    null = study({r.LR: 0.1}, dataset="null-hotels", replicates=2, users=5)[0]
    frame = pl.concat([_metrics({r.LR: [0.1, 0.2]}), null])
    for table in (2, 3, 4, 5, 6):
        for grid in grids(result_table(table, frame)):
            if grid.caption in ("This run", "Control: null-hotels"):
                count = 1 + 3 * sum(name != "" for name, _ in grid.groups)
                cells = [cell for row in grid.cells for cell in row[1:count]]
                assert cells and all(cell.text[-1] in "=≠~°–∅⊘†" for cell in cells)


@pytest.mark.parametrize("dataset", ["yelp", "hotels"])
def test_a_network_behind_the_biases_says_why(dataset: str) -> None:
    part = r.at_fraction(r.LR, 50)
    noise = {r.LR: 0.1, r.BIASES: 0.1, r.LETTER: 0.3, "ANR": 0.3, r.BOOSTING: 0.3, r.SHUFFLE_ALL: 0.3, part: 0.3}
    frame, _ = study(noise, dataset=dataset, simulated=dataset == "hotels", replicates=2)
    table = result_table(2, frame).filter(metric="RMSE")
    notes = {line["row"]: line["note"] for line in table.to_dicts()}
    assert "behind the biases: no residual biases" in notes[r.LETTER]
    assert "behind the biases: why is not known" in notes["ANR"]
    assert not any("behind" in notes[name] for name in (r.LR, r.BIASES, r.BOOSTING))
    known, unknown = (note for note in table_notes(2, frame) if note.startswith("Behind the biases"))
    if r.LETTER not in known:
        known, unknown = unknown, known
    lost = dict(zip(table["row"], table["ours_mean"], strict=True))
    assert f"{r.LETTER} on {formats.named(dataset)} by {lost[r.LETTER] - lost[r.BIASES]:.4f}. Reason: no resid" in known
    assert f"ANR on {formats.named(dataset)} by" in unknown and unknown.endswith("Reason: why is not known.")
    assert not any("Behind the biases" in note for note in table_notes(6, frame)), "a control is meant to be worse"
    assert not any("Behind the biases" in note for note in table_notes(3, frame)), "nor is one with half the records"


def test_a_reason_found_on_one_data_set_excuses_no_other() -> None:
    reasons = {}
    for dataset in ("movielens", "yelp"):
        frame, _ = study({r.BIASES: 0.1, "MTER": 0.3}, dataset=dataset, simulated=False, replicates=2)
        told = result_table(2, frame).filter(metric="RMSE", row="MTER")["note"][0]
        reasons[dataset] = told.split("behind the biases: ")[1]
    assert reasons["movielens"].startswith("the smallest step") and reasons["yelp"].startswith("why is not known")


def test_whose_vectors_a_row_reads_in_place_of_codes_is_told() -> None:
    metrics = _metrics({r.LR: [0.1], r.ABLATION2: [0.1]}, note=f"{r.RAW_VECTORS}: TF-IDF; another note")
    assert f"{r.ABLATION2} reads TF-IDF: Hotels." in table_notes(6, metrics)
    assert not any("TF-IDF" in note for note in table_notes(2, metrics))


def test_no_committed_table_has_a_network_behind_the_biases_without_its_reason() -> None:
    tables = sorted((Path(__file__).parents[2] / "paper_tables").glob("demo*/table[2-6].csv"))
    notes = [note for file in tables for note in pl.read_csv(file, infer_schema=False)["note"].drop_nulls()]
    assert any("behind the biases: the smallest step" in note for note in notes)
    assert not [note for note in notes if "behind the biases: why is not known" in note]


def test_every_reason_for_not_running_a_row_has_its_sign() -> None:
    frame, _ = study({r.LR: 0.1, r.BIASES: 0.1, "ANR": 0.2}, dataset="yelp", simulated=False, replicates=2)
    bare = frame.with_columns(ordered=pl.lit(False), item_text=pl.lit(False))
    table = result_table(2, bare)
    status = dict(zip(table["row"], table["status"], strict=True))
    assert (status["SASRec"], status["UCEPic"]) == ("not run: no order", "not run")
    cells = {line[0]: line[1] for line in grids(table)[0].body}
    assert cells["SASRec"].endswith("⊘") and formats.latex("⊘") == r"\(\oslash\)"
    assert set(result_table(5, bare).filter(row=r.ASPECTS_ONLY)["status"]) == {"not run: no item text"}


def test_a_part_on_fewer_replicates_says_so_above_its_own_figures() -> None:
    less = r.at_fraction("SASRec", 25)
    values = {r.LR: [0.1, 0.2], "SASRec": [0.2, 0.3], r.BIASES: [0.3, 0.3], r.CEILING: [0.05, 0.06], less: [0.3]}
    found = {grid.caption: grid for grid in grids(result_table(3, _metrics(values)))}
    assert "Every baseline on less data (1 of 2 replicates)" in found
    shares = {caption: [row[0] for row in grid.body] for caption, grid in found.items() if caption.startswith("Gain")}
    few, most = sorted(shares, key=len, reverse=True)
    assert few == f"{most} (1 of 2 replicates)" and shares[few] == [less] and less not in shares[most]


def test_the_model_of_the_repository_has_no_empty_row_beside_another_store_of_it() -> None:
    plain, elsewhere = {r.LR: [0.1, 0.2]}, {r.LR: [0.1, 0.2], f"{r.SMOLLM2} (zero-shot)": [0.1, 0.2]}
    alone, beside = (set(result_table(4, _metrics(values))["row"]) for values in (plain, elsewhere))
    assert r.SMOLLM2 in alone
    assert r.SMOLLM2 not in beside and f"{r.SMOLLM2} (zero-shot)" in beside
