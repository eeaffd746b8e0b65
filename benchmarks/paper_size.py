"""What profile `paper` takes on each of the paper's releases, from the rates in ``results/bench/``.

``python -m benchmarks.paper_size`` writes its table into ``docs/llm_scale.md``.
"""

from __future__ import annotations

from typing import Any

from lrrecsys_core import paths
from lrrecsys_core.data.releases import RELEASES, Release
from lrrecsys_core.models.base import TASKS
from lrrecsys_core.models.lr_recsys import WIDTH, LRRecsys
from lrrecsys_core.profiles import PROFILES
from lrrecsys_core.study.cell import TABLE_COPIES

PROFILE = PROFILES["paper"]
NETWORKS = PROFILE.seeds_on_files * len(TASKS)
HEAD = (
    "| release | records | file to split | networks of a row: memory | one epoch of a row | prompts |"
    " SmolLM2, these two cores |"
)
BEGIN, END = "<!-- table of benchmarks/paper_size.py -->\n", "<!-- end -->\n"


def costs(release: Release, bench: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Minutes, GiB, hours and prompts of a release.

    Parameters
    ----------
    bench
        Contents of ``scale_amazon``, ``train_at_size`` and ``llm_engines``, by name.
    """
    read = max(bench["scale_amazon"]["sizes"], key=lambda size: size["records"])
    trained = next(one for one in bench["train_at_size"]["models"] if one["model"] == LRRecsys.name)
    rate = max(engine["prompts_a_second"] for engine in bench["llm_engines"]["engines"].values())
    tables = TABLE_COPIES * NETWORKS * (release.users + release.items) * WIDTH * 4
    prompts = release.items + 2 * release.records
    return {
        "minutes": release.records / 1e6 * read["cpu_seconds_per_million"] / 60,
        "gib": tables / 2**30 + release.records / read["records"] * read["second"]["peak_gib"],
        "hours": NETWORKS * release.records / 1e6 * trained["large"]["cpu_seconds_per_million"] / 3600,
        "prompts": prompts,
        "prompt_hours": prompts / rate / 3600,
    }


def table(bench: dict[str, dict[str, Any]]) -> str:
    """The Markdown table of all releases, the largest first."""
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    for release in sorted(RELEASES.values(), key=lambda one: -one.records):
        found = costs(release, bench)
        cells = [release.paper_name, f"{release.records:,}", f"{found['minutes']:.1f} min", f"{found['gib']:.1f} GiB"]
        cells += [f"{found['hours']:,.1f} h", f"{found['prompts']:,}", f"{found['prompt_hours']:,.0f} h"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def measured() -> dict[str, dict[str, Any]]:
    """The benchmark files by name."""
    return {str(one.get("name")): one for one in paths.read_bench()}


if __name__ == "__main__":
    page = paths.repository() / "docs" / "llm_scale.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + table(measured()) + END + rest.partition(END)[2], encoding="utf-8")
