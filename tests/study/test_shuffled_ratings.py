"""Ratings that nothing can predict: whatever the texts say, no gain may be called supported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.report.claims import CONTROL, FAIL, claims_table, evidence_table, verdicts
from lrrecsys_core.study.study import Study

# Claims that something gains; of the others some say that something does not, which holds here.
GAINS = ("C1", "C10", "C13", "C14", "C16", "C22", "C23", "C24")
RUN = (
    rows.LR, rows.ABLATION1, rows.ABLATION2, rows.NO_IDS, rows.NCF, rows.NCF_WITHOUT, rows.POSITIVE_ONLY, rows.BIASES,
    rows.SHUFFLE_ALL, rows.SHUFFLE_USER, rows.SHUFFLE_ITEM, "A3NCF", "SULM", "AARM", "MMALFM", "MTER", "DIN", "AMCF",
)  # fmt: skip


def dealt(folder: Path, deal: int) -> Path:
    """A market as a table of real data, its ratings dealt out anew over all records."""
    whole = simulate_market("movies", 3, replace(DEFAULT_PARAMETERS["movies"], users=80, items=60, records_per_user=12))
    ratings = whole.interactions["rating"].to_numpy()
    anew = np.random.default_rng(deal).permutation(ratings)
    assert (anew != ratings).mean() > 0.3
    file = folder / f"dealt_{deal}.parquet"
    records = whole.interactions.select("user_id", "item_id", "timestamp", rating=pl.Series(anew))
    records.join(whole.items.select("item_id", "name", "details"), on="item_id").write_parquet(file)
    return file


# In the second, four contrasts of single metrics pass their own test: a network that learns less noise does gain over
# one that learns more. A claim asks for more than one of them.
@pytest.mark.parametrize("deal", [5, 2])
def test_no_gain_is_supported(deal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    for name in ("LRRECSYS_STORES", "LRRECSYS_ENCODER"):
        monkeypatch.delenv(name, raising=False)
    profile = get_profile("smoke", epochs=6, patience=6, autoencoder_epochs=20)
    market = dealt(tmp_path, deal)
    study = Study(profile, [f"table:{market}?timestamp=timestamp&name=name&details=details&domain=movie"])
    study.run_rows([2, 5, 6], only=RUN, jobs=1, progress=False)
    found = evidence_table(study.metrics(), study.predictions())
    judged = found.filter(pl.col("claim").is_in(GAINS), pl.col("effect").is_not_null())
    assert set(judged["claim"]) == set(GAINS), "every claim was put to the test"
    told = verdicts(claims_table(found)).filter(pl.col("claim").is_in(GAINS))
    assert "not supported" in set(told["verdict"]) and "supported" not in set(told["verdict"]), told.to_dicts()
    controls = found.filter(claim=CONTROL, verdict=FAIL)
    assert controls.filter(pl.col("contrast").str.contains("vs")).is_empty(), controls.to_dicts()
