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


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[int, pl.DataFrame]:
    """The evidence on two deals of the ratings."""
    found = {}
    for deal in (5, 2):
        with pytest.MonkeyPatch.context() as patch:
            folder = tmp_path_factory.mktemp(f"deal_{deal}")
            patch.setenv("LRRECSYS_ROOT", str(folder))
            for name in ("LRRECSYS_STORES", "LRRECSYS_ENCODER"):
                patch.delenv(name, raising=False)
            profile = get_profile("smoke", epochs=6, patience=6, autoencoder_epochs=20)
            market = dealt(folder, deal)
            study = Study(profile, [f"table:{market}?timestamp=timestamp&name=name&details=details&domain=movie"])
            study.run_rows([2, 5, 6], only=RUN, jobs=1, progress=False)
            found[deal] = evidence_table(study.metrics(), study.predictions())
    return found


def gains(evidence: pl.DataFrame) -> pl.DataFrame:
    """The contrasts in which something gains: not "no gain left" of shuffled texts, which ought to hold."""
    found = evidence.filter(pl.col("claim").is_in(GAINS), pl.col("effect").is_not_null())
    return found.filter(~pl.col("contrast").str.ends_with("no gain left"))


def supported(evidence: pl.DataFrame) -> list[dict[str, object]]:
    return evidence.filter(verdict="supported").select("claim", "metric", "contrast", "effect", "p_holm").to_dicts()


@pytest.mark.slow
@pytest.mark.parametrize("deal", [5, 2])
def test_no_claim_of_a_gain_is_supported(judged: dict[int, pl.DataFrame], deal: int) -> None:
    assert set(gains(judged[deal])["claim"]) == set(GAINS), "every claim was put to the test"
    told = verdicts(claims_table(judged[deal])).filter(pl.col("claim").is_in(GAINS))
    assert "not supported" in set(told["verdict"]) and "supported" not in set(told["verdict"]), told.to_dicts()
    controls = judged[deal].filter(claim=CONTROL, verdict=FAIL)
    assert controls.filter(pl.col("contrast").str.contains("vs")).is_empty(), controls.to_dicts()


def test_no_contrast_is_supported(judged: dict[int, pl.DataFrame]) -> None:
    """None but C23's over the best baseline, whose noise is a slope: so the claim asks for free vectors too."""
    slope = (pl.col("claim") == "C23") & ~pl.col("contrast").str.contains(f"over {rows.ABLATION1}", literal=True)
    assert supported(gains(judged[5]).filter(~slope)) == []
    assert supported(gains(judged[5]).filter(slope)), "else the claim needs no second contrast"
