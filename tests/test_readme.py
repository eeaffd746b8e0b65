"""Every number in README, and those that replication on real ratings rests on, are read off the committed tables."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lrrecsys_core import rows
from lrrecsys_core.report.rules import STATEMENTS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REAL = ("movielens", "tripadvisor", "yelp")
RATED = "movielens-u1"  # one whose test records an LLM rated itself
BARE = "tripadvisor_peter_fifth"  # a set without texts
PROFILED = "amazon_upr"  # one whose users have profiles by LLMs
GPT, IMPORTED, EXTRACTIVE = r"gpt[^;]*; texts for ([\d.]+)%", r"imported texts \(for (\d+)%", r"a reason for (\d+)%"
GAIN = r"(-?\.\d+) \[(-?\.\d+), (-?\.\d+)\]"
PERCENT, OUT_OF = r"(-?\d*\.\d+)% \((\w+)\)", r"(\d+) of (\d+)"
ALONE = "product of id vectors alone"
# Digits that count nothing: versions, dates, and places in the paper.
NAMES = (
    r"arXiv \d{4}\.\d{5}(?:v\d)?", r"\bv[123]\b", r"version 1\b", r"Python 3\.11", r"\b\d{1,2} [A-Z][a-z]+ 20\d\d",
    r"\b(?:Sec|App|Fig|Tab)s? \d[\d.]*(?:(?:, | and )\d[\d.]*)*", r"\b(?:KDD|ACL|SIGIR|UMAP|TiiS) 20\d\d",
    r"(?:, 20\d\d)(?= \(EILLS\)|\. )", r"width 8\b", r"EXP3RT", r"Llama-2-7B", r"Mistral-7B", r"SmolLM2-135M",
    r"gpt-3\.5-turbo", r"\bC5\b", r"MovieLens 100k(?:, fold u1)?",
)  # fmt: skip


def lines(name: str) -> list[dict[str, str]]:
    with (ROOT / "paper_tables" / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read(name: str) -> dict[str, object]:
    return dict(json.loads((ROOT / "results" / name).read_text(encoding="utf-8")))


def printed(line: dict[str, str]) -> str:
    """The effect of a contrast, as README prints it."""
    return f"{round(float(line['effect']), 4) + 0.0:.4f}".replace("0.", ".", 1)


def evidence(run: str, dataset: str, **wanted: str) -> dict[str, str]:
    """The line of a run's evidence that says so."""
    wanted |= {"dataset": dataset}
    (line,) = [line for line in lines(f"{run}/claims_evidence.csv") if wanted.items() <= line.items()]
    return line


def gain(run: str, dataset: str) -> str:
    """What texts gain in RMSE over free vectors."""
    return printed(evidence(run, dataset, claim="C13", metric="RMSE", contrast=f"{rows.LR} vs {rows.ABLATION1}"))


def whole(line: dict[str, str], digits: int = 4) -> tuple[str, str, str]:
    """An effect and its interval, as the documents print them."""
    found = (f"{float(line[of]):.{digits}f}" for of in ("effect", "low", "high"))
    return tuple(number.replace("0.", ".", 1) for number in found)  # type: ignore[return-value]


def controls(run: str) -> tuple[str, str]:
    """How many controls of a run pass, and how many could be judged."""
    found = [line["verdict"] for line in lines(f"{run}/claims_evidence.csv") if line["claim"] == "control"]
    return str(found.count("pass")), str(found.count("pass") + found.count("fail"))


def came_out(name: str) -> tuple[str, ...]:
    """A real set's line in replication: over the best baseline, over free vectors and over shuffled texts; controls."""
    best = evidence(f"demo-{name}", name, claim="C2", metric="RMSE")
    over = [f"{float(best['effect']):.1f}".replace("0.", ".", 1), best["contrast"].removeprefix(f"{rows.LR} vs ")]
    for reference in (rows.ABLATION1, rows.SHUFFLE_ITEM):
        told = evidence(f"demo-{name}", name, claim="C13", metric="RMSE", contrast=f"{rows.LR} vs {reference}")
        if told["effect"]:
            over += whole(told)
        else:
            assert "biases alone on both sides" in told["note"]
    return (*over, *controls(f"demo-{name}"))


def texts_of(name: str, writer: str, digits: int = 4) -> tuple[str, ...]:
    """What a writer's texts, or what else C13 reports, gain in RMSE."""
    return whole(evidence(f"demo-{name}", name, claim="C13", metric=f"RMSE, {writer}"), digits)


def shuffled_all() -> tuple[str, ...]:
    """The control that fails on TripAdvisor (LARA)."""
    line = evidence("demo-tripadvisor", "tripadvisor", claim="control", verdict="fail")
    assert (line["metric"], line["contrast"]) == ("MAE", f"{rows.SHUFFLE_ALL} vs {rows.ABLATION1}")
    return whole(line)


def supported_contrasts() -> tuple[str, ...]:
    """The two contrasts over free vectors, or over shuffled texts, that are supported on real data."""
    over = {f"{rows.LR} vs {row}" for row in (rows.ABLATION1, rows.SHUFFLE_ALL, rows.SHUFFLE_USER, rows.SHUFFLE_ITEM)}
    found = [
        line
        for name in (*REAL, RATED, PROFILED)
        for line in lines(f"demo-{name}/claims_evidence.csv")
        if line["claim"] == "C13" and line["verdict"] == "supported" and line["contrast"] in over
    ]
    assert [(line["dataset"], line["metric"], line["contrast"]) for line in found] == [
        ("movielens", "MAE", f"{rows.LR} vs {row}") for row in (rows.ABLATION1, rows.SHUFFLE_USER)
    ]
    return tuple(number for line in found for number in whole(line))


def core_minutes() -> tuple[str, ...]:
    """What MovieLens' networks train for: all, five baselines, and the three rows with a product."""
    of: dict[tuple[str, float], str] = {}
    for line in lines("../results/demo-movielens/costs.csv"):
        if line["seconds"]:
            of.setdefault((line["dataset"], float(line["seconds"])), line["row"])
    five = ("UCEPic", "BERT4Rec", "ANR", "PETER", "UniSRec")
    chosen = [
        [seconds for (_, seconds), row in of.items() if test(row)]
        for test in (lambda row: True, lambda row: row in five, lambda row: "product of id vectors" in row)
    ]
    assert [len(part) for part in chosen[1:]] == [5, 3]
    return tuple(f"{sum(part) / 60:.0f}" for part in chosen)


def over_biases(name: str) -> dict[str, float]:
    """By how much each row of Table 2 is ahead of the biases in RMSE."""
    told = [line for line in lines(f"demo-{name}/table2.csv") if line["metric"] == "RMSE" and line["ours_mean"]]
    found = {line["row"]: float(line["ours_mean"]) for line in told if line["row"] != "% Improved"}
    return {row: found["User and item biases"] - rmse for row, rmse in found.items()}


def ahead(name: str, *named: str) -> tuple[str, ...]:
    """By how much rows are ahead of the biases: the least and the most, or each one's where it is one."""
    gains = [over_biases(name)[row] for row in named]
    return tuple(f"{gain:.4f}".replace("0.", ".", 1) for gain in dict.fromkeys((min(gains), max(gains))))


def held(kind: str) -> tuple[str, str, str]:
    """Cells on markets or on real data: supported, all, and those that evidence could decide."""
    runs = ["demo"] if kind == "simulated" else [f"demo-{name}" for name in (*REAL, RATED, BARE, PROFILED)]
    found = [line["verdict"] for run in runs for line in lines(f"{run}/verdicts.csv") if line["evidence"] == kind]
    open_ = found.count("not tested") + found.count("by construction")
    return str(found.count("supported")), str(len(found)), str(len(found) - open_)


def size(run: str, dataset: str) -> tuple[str, str, str]:
    (line,) = [line for line in lines(f"{run}/data.csv") if line["data set"] == dataset]
    return tuple(f"{int(line[of]):,}" for of in ("records", "users", "items"))  # type: ignore[return-value]


def market() -> tuple[str, ...]:
    sizes = [size("demo", name) for name in ("hotels", "restaurants", "movies")]
    assert len({found[:2] for found in sizes}) == 1
    items = sorted(int(found[2]) for found in sizes)
    return (*sizes[0][:2], str(items[0]), str(items[-1]))


def hours() -> tuple[str, ...]:
    """Of training: rows that are read off another row's networks tell the same seconds, counted once."""
    told = {(line["dataset"], float(line["seconds"])) for line in lines("../results/demo/costs.csv") if line["seconds"]}
    return (f"{sum(seconds for _, seconds in told) / 3600:.1f}",)


def shares(name: str, *patterns: str) -> tuple[str, ...]:
    """For how many percent of the records writers have texts."""
    explainers = " ".join(line["explainer"] for line in lines(f"demo-{name}/claims_evidence.csv"))
    found = [set(re.findall(pattern, explainers)) for pattern in patterns]
    return tuple(f"{float(share):.0f}" for (share,) in found)


def largest() -> tuple[str, ...]:
    """Of the texts by real LLMs, those that gain most in RMSE over free vectors: gpt-3.5-turbo's about movies."""
    found = [line for name in (*REAL, PROFILED) for line in lines(f"demo-{name}/claims_evidence.csv")]
    by_llm = [
        line
        for line in found
        if (line["claim"], line["verdict"]) == ("C13", "reported")
        and line["contrast"].endswith(f" vs {rows.ABLATION1}")
        and re.match(r"RMSE, (?:SmolLM2|gpt|Llama|Mistral|imported)", line["metric"])
    ]
    most = max(by_llm, key=lambda line: float(line["effect"]))
    assert len(by_llm) >= 4
    assert (most["dataset"], most["metric"]) == ("movielens", "RMSE, gpt-3.5-turbo item summaries")
    return (printed(most),)


def product() -> tuple[str, ...]:
    """What the product of id vectors gains in RMSE without texts on both MovieLens sets, and texts beside it."""
    found: dict[str, list[str]] = {}
    for name in (RATED, "movielens"):
        told = {line["metric"]: printed(line) for line in lines(f"demo-{name}/claims_evidence.csv") if line["effect"]}
        for words in ("product of id vectors alone", "plus product of id vectors"):
            found.setdefault(words, []).append(told[f"RMSE, {words}"])
    (texts,) = set(found["plus product of id vectors"])
    return (*found["product of id vectors alone"], texts)


def direct() -> tuple[str, ...]:
    """RMSE of the LLM's own ratings and of LR-Recsys, on the set where there are such."""
    table = [line for line in lines(f"demo-{RATED}/table4.csv") if line["metric"] == "RMSE" and line["ours_mean"]]
    found = {line["row"]: float(line["ours_mean"]) for line in table}
    (ours,) = [line for line in lines(f"demo-{RATED}/table5.csv") if (line["row"], line["metric"]) == (rows.LR, "RMSE")]
    return tuple(f"{value:.4f}".removeprefix("0") for value in (found[rows.DIRECT], float(ours["ours_mean"])))


# Where a number stands in a document, and what the committed tables say it is.
FACTS: dict[str, dict[str, Callable[[], tuple[str, ...]]]] = {
    "README.md": {
        r"(\d+) claims judged": lambda: (str(len(STATEMENTS)),),
        r"The (\d+) claims on every data set": lambda: (str(len(STATEMENTS)),),
        r"RMSE is lower by (\.\d+), (\.\d+) and (\.\d+) for hotels, restaurants and movies":
            lambda: tuple(gain("demo", name) for name in ("hotels", "restaurants", "movies")),
        r"(\d+) of (\d+) cells\]": lambda: held("simulated")[:2],
        r"supported; (\d+) of (\d+) controls pass": lambda: controls("demo"),
        r"the same gain is (\.\d+) \(MovieLens\), (-?\.\d+) \(TripAdvisor\) and (-?\.\d+) \(Yelp\)":
            lambda: tuple(gain(f"demo-{name}", name) for name in REAL),
        r"texts by real LLMs gain (\.\d+) at most": largest,
        r"controls (\d+) of (\d+) pass on TripAdvisor, (\d+) of (\d+) on Yelp and (\d+) of (\d+) on MovieLens 100k":
            lambda: tuple(n for run in ("tripadvisor", "yelp", RATED) for n in controls(f"demo-{run}")),
        r"own ratings of MovieLens 100k are off by (\.\d+) .* LR-Recsys.* by (\.\d+)": direct,
        r"1,000 candidates are scored in ([\d.]+\d) ms": lambda: (f"{read('bench/scoring.json')['ours']:.1f}",),
        r"train for ([\d.]+) hours of one core": hours,
        r"one of them:\) \| ([\d,]+) \| (\d+) \| (\d+) to (\d+) \|": market,
        r"latest-small\] \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size("demo-movielens", "movielens"),
        r"gpt-3\.5-turbo \(for (\d+)% of the records\), EXP3RT \((\d+)%\) and extractive explainer \((\d+)%\)":
            lambda: shares("movielens", GPT, IMPORTED, EXTRACTIVE),
        r"SmolLM2-135M and extractive explainer \((\d+)%\)": lambda: shares("tripadvisor", EXTRACTIVE),
        r"fold u1\], with [^|]* \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size(f"demo-{RATED}", RATED),
        r"LARA\] \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size("demo-tripadvisor", "tripadvisor"),
        r"own release \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size(f"demo-{BARE}", BARE),
        r"MTER\] \(no times: \*unordered\*\) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|":
            lambda: size("demo-yelp", "yelp"),
        r"UPR\] \(no times: \*unordered\*\) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|":
            lambda: size(f"demo-{PROFILED}", PROFILED),
    },
    "docs/replication.md": {
        r"Of (\d+) cells (\d+) could be judged, and (\d+) are supported":
            lambda: tuple(held("real")[k] for k in (1, 2, 0)),
        rf"^\| \[MovieLens\] .*\| {PERCENT} \| {GAIN} \| {GAIN} \| {OUT_OF} \|": lambda: came_out("movielens"),
        rf"^\| \[MovieLens 100k, .*\| {PERCENT} \| bias-only \| bias-only \| {OUT_OF} \|": lambda: came_out(RATED),
        rf"^\| \[TripAdvisor \(LARA\)\] .*\| {PERCENT} \| {GAIN} \| {GAIN} \| {OUT_OF} \|":
            lambda: came_out("tripadvisor"),
        rf"^\| \[Yelp .*\| {PERCENT} \| {GAIN} \| {GAIN} \| {OUT_OF} \|": lambda: came_out("yelp"),
        rf"shuffled over all records gain {GAIN} of MAE": shuffled_all,
        r"biased MF are (\.\d+) to (\.\d+) ahead of them":
            lambda: ahead("movielens", "DIN", "AMCF", "A3NCF", "Biased MF"),
        r"On fold u1 biased MF is (\.\d+) ahead of the biases": lambda: ahead(RATED, "Biased MF"),
        r"product gains (\.\d+) on fold u1 and (\.\d+) on MovieLens; texts then add (\.\d+) to either": product,
        r"RMSE (\.\d+) on fold u1, where LR-Recsys has (\.\d+)": direct,
        rf"by gpt-3\.5-turbo gain most, {GAIN}": lambda: texts_of("movielens", "gpt-3.5-turbo item summaries"),
        r"gpt-3\.5-turbo gain most, (\.\d+)": largest,
        rf"texts gain {GAIN} over free vectors on MovieLens and {GAIN} over texts shuffled within user":
            supported_contrasts,
        rf"EXP3RT's texts gain {GAIN}": lambda: texts_of("movielens", "imported texts", digits=5),
    },
    "docs/replication_details.md": {
        r"for (\d+)% of the records, and had seen titles": lambda: shares("movielens", GPT),
        r"does not name, for (\d+)% of the records": lambda: shares("movielens", IMPORTED),
        r"AMCF \((\.\d+)\), SULM \((\.\d+)\) and A3NCF \((\.\d+)\)":
            lambda: tuple(ahead(RATED, row)[0] for row in ("AMCF", "SULM", "A3NCF")),
        rf"gain without texts is {GAIN} on \[fold u1\] and {GAIN} on \[MovieLens\]":
            lambda: (*texts_of(RATED, ALONE), *texts_of("movielens", ALONE)),
        rf"exchanged within users they gain {GAIN}, \.2% of RMSE":
            lambda: texts_of("movielens", "gpt-3.5-turbo item summaries, placebo"),
        rf"exchanged within users they gain {GAIN}, reported": lambda: texts_of("movielens", "imported texts, placebo"),
        rf"On MovieLens it has a reason for (\d+)% of the records and gains {GAIN}":
            lambda: (*shares("movielens", EXTRACTIVE), *texts_of("movielens", "the extractive explainer")),
        rf"in earlier reviews for (\d+)% of the records and gains {GAIN}":
            lambda: (*shares("tripadvisor", EXTRACTIVE), *texts_of("tripadvisor", "the extractive explainer")),
        rf"They gain {GAIN} over free vectors in RMSE":
            lambda: texts_of("tripadvisor", "SmolLM2-135M (zero-shot)", digits=5),
        r"train for (\d+) minutes of a core .* Of these (\d+) are .* and (\d+) the three rows": core_minutes,
    },
}  # fmt: skip


def prose(text: str) -> str:
    """A document without code, addresses and markup."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r'<img [^>]*alt="([^"]*)"[^>]*>', r"\1", text)
    text = text.replace("<br>", " ").replace("&nbsp;", " ")
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", text))


def strays(text: str) -> list[str]:
    """Digits that neither a fact of README nor a name accounts for, with the words around them."""
    for pattern in (*FACTS["README.md"], *NAMES):
        text = re.sub(pattern, "", text)
    return [text[max(0, m.start() - 30) : m.end() + 10] for m in re.finditer(r"\d[\d.,]*", text)]


@pytest.mark.parametrize(("document", "pattern"), [(name, pattern) for name in FACTS for pattern in FACTS[name]])
def test_a_number_is_that_of_the_tables(document: str, pattern: str) -> None:
    found = re.findall(pattern, prose((ROOT / document).read_text(encoding="utf-8")), flags=re.MULTILINE)
    assert len(found) == 1, pattern
    told = found[0] if isinstance(found[0], tuple) else (found[0],)
    assert told == FACTS[document][pattern]()


def test_no_other_number_is_told() -> None:
    assert strays(prose(README)) == []
    assert strays("wins 7 times (Fig 3, Python 3.11)") == ["wins 7 times (, "]


@pytest.mark.parametrize("name", [*REAL, RATED, BARE, PROFILED])
def test_no_cell_of_a_real_set_says_reproduced_or_differs(name: str) -> None:
    said = {line["status"] for table in range(2, 7) for line in lines(f"demo-{name}/table{table}.csv")}
    assert "not comparable" in said and not said & {"reproduced", "differs"}


def test_replication_names_the_sets_without_controls_and_fits_two_screens() -> None:
    text = (ROOT / "docs" / "replication.md").read_text(encoding="utf-8")
    assert [controls(f"demo-{name}") for name in (PROFILED, BARE)] == [("0", "0")] * 2
    assert len(re.findall(r"\| none run \|$", text, flags=re.MULTILINE)) == 2
    assert "figures/real_ratings.png" in text and len(prose(text).split()) <= 850


def test_words_of_replication_agree_with_the_tables() -> None:
    sets = (*REAL, RATED, BARE, PROFILED)
    found = [(name, line) for name in sets for line in lines(f"demo-{name}/verdicts.csv")]
    real = {(line["claim"], name): line["verdict"] for name, line in found if line["evidence"] == "real"}
    for claim in ("C1", "C2", "C3", "C9", "C10", "C13"):  # none of the main claims is supported, in no metric
        assert not {real[claim, name] for name in sets} & {"supported", "mixed"}
    supported = {cell for cell, verdict in real.items() if verdict == "supported"}
    assert supported == {("C16", "movielens"), ("C16", "yelp"), ("C12", "yelp"), ("C5", RATED)}
    for name in ("yelp", "tripadvisor"):  # nothing is ahead of the biases by as much
        assert max(over_biases(name).values()) < 0.0001


def test_words_agree_with_the_tables() -> None:
    verdicts = {(line["claim"], line["dataset"]): line["verdict"] for line in lines("demo/verdicts.csv")}
    real = {(line["claim"], name): line["verdict"] for name in REAL for line in lines(f"demo-{name}/verdicts.csv")}
    markets = ("hotels", "restaurants", "movies")
    beyond_chance = [verdicts["C13", name] for name in markets]
    assert beyond_chance == ["supported"] * 3
    assert "beyond chance (corrected for all tests of the claim) in all three" in README
    assert [verdicts["C1", name] for name in markets] == ["mixed", "not supported", "not supported"]
    (where,) = [
        line["where"] for line in lines("demo/verdicts.csv") if (line["claim"], line["verdict"]) == ("C1", "mixed")
    ]
    assert where == "not supported: RMSE, MAE; supported: AUC"
    assert "beats every baseline on hotels alone, and there in AUC alone" in README
    for claim in ("C1", "C13"):
        assert {real[claim, name] for name in REAL} == {"not supported"}
    assert {line["claim"] for line in lines(f"demo-{RATED}/verdicts.csv") if line["verdict"] == "supported"} >= {"C5"}
    theory = [line["verdict"] for line in lines("demo/verdicts.csv") if line["evidence"] == "theory"]
    assert theory == ["supported"] * 4
    manifest = read("demo/manifest.json")
    assert len(manifest["seeds"]) == 10 and manifest["machine"]["cores"] == 2  # type: ignore[index, arg-type]
    assert len(rows.BASELINES) == 14 and "fourteen baselines" in README
    told = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8").split("## Criteria changed after")[1]
    changed = [line for line in told.split("\n## ")[0].splitlines() if line.startswith("|")][2:]
    assert len(changed) == 13 and "[thirteen changed after the first results]" in README


def test_the_first_screen_leads_to_everything_and_the_page_is_short() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    notebooks = {f"notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(notebooks) == 7 and notebooks <= linked
    assert {f"https://arxiv.org/abs/2502.16759v{k}" for k in (1, 2, 3)} <= linked
    assert {
        "figures/claim_matrix.png",
        "results/demo/report.html",
        "docs/glossary.md",
        "docs/as_collected.md",
    } <= linked
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")} <= linked
    assert README.index("claim_matrix.png") < 1000 and len(README.splitlines()) <= 170
