"""Figures are byte for byte the same whatever matplotlibrc a user has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrrecsys_core.report.style import FORMATS

DRAW = """
import sys
import polars as pl
from lrrecsys_core.report import schematics, text_figures
from lrrecsys_core.report.style import save
lengths = pl.DataFrame({"title": ["a (simulated)"] * 4, "slot": ["positive"] * 2 + ["negative"] * 2,
                        "first": [0.1, 0.2, 1234.5, -3.0], "second": [1.0, 2.0, 3.0, 4000.0]})
save(schematics.fig01(), "smoke", "fig01")
save(text_figures.codes(lengths), "smoke", "codes")
"""
RULES = {
    "none": "",
    "tex": "text.usetex: True",
    "everything": """
savefig.transparent: True
savefig.bbox: tight
savefig.dpi: 33
savefig.facecolor: red
lines.linewidth: 6
axes.spines.top: False
legend.fontsize: 4
font.size: 20
mathtext.default: regular
axes.formatter.use_locale: True
axes.unicode_minus: False
path.simplify: False
path.sketch: 1, 100, 2
figure.autolayout: True
figure.constrained_layout.h_pad: 1
pdf.compression: 0
""",
    "window": "backend: TkAgg\ninteractive: True\ntoolbar: None",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return drawn(tmp_path_factory.mktemp("plain"), RULES["none"])


def drawn(folder: Path, rules: str) -> dict[str, bytes]:
    (folder / "root").mkdir()
    (folder / "matplotlibrc").write_text(rules)
    environment = os.environ | {"LRRECSYS_ROOT": str(folder / "root"), "MATPLOTLIBRC": str(folder / "matplotlibrc")}
    for name in ("MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", DRAW], env=environment, check=True, capture_output=True)
    return {file.name: file.read_bytes() for file in (folder / "root" / "figures" / "smoke").iterdir()}


@pytest.mark.parametrize("rules", [name for name in RULES if name != "none"])
def test_figures_are_the_same_under_any_matplotlibrc(tmp_path: Path, plain: dict[str, bytes], rules: str) -> None:
    assert set(plain) == {f"{name}.{suffix}" for name in ("fig01", "codes") for suffix in FORMATS}
    found = drawn(tmp_path, RULES[rules])
    assert [name for name in plain if found[name] != plain[name]] == []
