"""Every number in README is read off the committed tables, or is the name of something."""

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
# Digits that count nothing: versions, dates, and places in the paper.
NAMES = (
    r"arXiv \d{4}\.\d{5}(?:v\d)?", r"\bv[123]\b", r"version 1\b", r"Python 3\.11", r"\b\d{1,2} [A-Z][a-z]+ 20\d\d",
    r"\b(?:Sec|App|Fig|Tab)s? \d[\d.]*(?:(?:, | and )\d[\d.]*)*", r"\b(?:KDD|ACL|SIGIR|UMAP|TiiS) 20\d\d",
    r"(?:, 20\d\d)(?= \(EILLS\)|\. )", r"width 8\b", r"EXP3RT", r"Llama-2-7B", r"Mistral-7B", r"SmolLM2-135M",
    r"gpt-3\.5-turbo", r"\(C5\)", r"MovieLens 100k(?:, fold u1)?",
)  # fmt: skip


def lines(name: str) -> list[dict[str, str]]:
    with (ROOT / "paper_tables" / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read(name: str) -> dict[str, object]:
    return dict(json.loads((ROOT / "results" / name).read_text(encoding="utf-8")))


def printed(line: dict[str, str]) -> str:
    """The effect of a contrast, as README prints it."""
    return f"{round(float(line['effect']), 4) + 0.0:.4f}".replace("0.", ".", 1)


def gain(run: str, dataset: str) -> str:
    """What texts gain in RMSE over free vectors."""
    contrast = {"claim": "C13", "dataset": dataset, "metric": "RMSE", "contrast": f"{rows.LR} vs {rows.ABLATION1}"}
    (line,) = [line for line in lines(f"{run}/claims_evidence.csv") if contrast.items() <= line.items()]
    return printed(line)


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


def imported() -> tuple[str, ...]:
    explainers = " ".join(line["explainer"] for line in lines("demo-movielens/claims.csv"))
    return tuple(set(re.findall(r"imported texts \(for (\d+)%", explainers)))


def largest() -> tuple[str, ...]:
    """Of the texts by real LLMs, those that gain most in RMSE over free vectors: gpt-3.5-turbo's about movies."""
    found = [line for name in (*REAL, PROFILED) for line in lines(f"demo-{name}/claims_evidence.csv")]
    by_llm = [
        line
        for line in found
        if (line["claim"], line["verdict"]) == ("C13", "reported")
        and line["contrast"].endswith(f" vs {rows.ABLATION1}")
        and re.match(r"RMSE, (?:SmolLM2|gpt|Llama|Mistral)", line["metric"])
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


# Where a number stands in README, and what the committed tables say it is.
FACTS: dict[str, Callable[[], tuple[str, ...]]] = {
    r"(\d+) claims judged": lambda: (str(len(STATEMENTS)),),
    r"The (\d+) claims on every data set": lambda: (str(len(STATEMENTS)),),
    r"RMSE is lower by (\.\d+), (\.\d+) and (\.\d+) for hotels, restaurants and movies":
        lambda: tuple(gain("demo", name) for name in ("hotels", "restaurants", "movies")),
    r"(\d+) of (\d+) cells\]": lambda: held("simulated")[:2],
    r"the same gain is (\.\d+) \(": lambda: (gain("demo-movielens", "movielens"),),
    r", (-?\.\d+) \(\[TripAdvisor": lambda: (gain("demo-tripadvisor", "tripadvisor"),),
    r"and (-?\.\d+) \(\[Yelp": lambda: (gain("demo-yelp", "yelp"),),
    r"and (\d+) of (\d+) cells are supported, of (\d+) that": lambda: held("real"),
    r"the largest gain is (\.\d+) \(sentences about movies": largest,
    r"\(([\d.]+) ms for 1,000 candidates\)": lambda: (f"{read('bench/scoring.json')['ours']:.1f}",),
    r"train for ([\d.]+) hours of one core": hours,
    r"one of them:\) \| ([\d,]+) \| (\d+) \| (\d+) to (\d+) \|": market,
    r"latest-small\] \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size("demo-movielens", "movielens"),
    r"imported texts for (\d+)%": imported,
    r"fold u1\], with [^|]* \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size(f"demo-{RATED}", RATED),
    r"gains (\.\d+) on MovieLens 100k and (\.\d+) on MovieLens, and texts add (\.\d+) to either": product,
    r"own ratings are off by (\.\d+) .* LR-Recsys by (\.\d+)": direct,
    r"LARA\] \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size("demo-tripadvisor", "tripadvisor"),
    r"own release \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size(f"demo-{BARE}", BARE),
    r"MTER\] \(no times: \*unordered\*\) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|": lambda: size("demo-yelp", "yelp"),
    r"UPR\] \(no times: \*unordered\*\) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|":
        lambda: size(f"demo-{PROFILED}", PROFILED),
}  # fmt: skip


def prose(text: str) -> str:
    """README without code and addresses."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", text))


def strays(text: str) -> list[str]:
    """Digits that neither a fact nor a name accounts for, with the words around them."""
    for pattern in (*FACTS, *NAMES):
        text = re.sub(pattern, "", text)
    return [text[max(0, m.start() - 30) : m.end() + 10] for m in re.finditer(r"\d[\d.,]*", text)]


@pytest.mark.parametrize("pattern", FACTS)
def test_a_number_is_that_of_the_tables(pattern: str) -> None:
    found = re.findall(pattern, prose(README))
    assert len(found) == 1, pattern
    told = found[0] if isinstance(found[0], tuple) else (found[0],)
    assert told == FACTS[pattern]()


def test_no_other_number_is_told() -> None:
    assert strays(prose(README)) == []
    assert strays("wins 7 times (Fig 3, Python 3.11)") == ["wins 7 times (, "]


def test_words_agree_with_the_tables() -> None:
    verdicts = {(line["claim"], line["dataset"]): line["verdict"] for line in lines("demo/verdicts.csv")}
    real = {(line["claim"], name): line["verdict"] for name in REAL for line in lines(f"demo-{name}/verdicts.csv")}
    markets = ("hotels", "restaurants", "movies")
    beyond_chance = [verdicts["C13", name] for name in markets]
    assert beyond_chance == ["supported"] * 3
    assert "beyond chance (corrected for all tests of the claim) in all three" in README
    assert [verdicts["C1", name] for name in markets] == ["supported", "not supported", "not supported"]
    assert "beats every baseline on hotels alone" in README
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
    assert len(changed) == 12 and "[twelve changed after the first results]" in README


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
