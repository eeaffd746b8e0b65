"""The same seed gives the same numbers alone and in company, whatever the sizes of the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lrrecsys_core.data.split import Split
from lrrecsys_core.models.ablations import FreeVectors
from lrrecsys_core.models.aspect.a3ncf import A3NCF
from lrrecsys_core.models.aspect.aarm import AARM
from lrrecsys_core.models.aspect.mter import MTER
from lrrecsys_core.models.base import Recommender, Sizes
from lrrecsys_core.models.interpretable.amcf import AMCF
from lrrecsys_core.models.sequential.sasrec import SASRec
from lrrecsys_core.models.sequential.unisrec import UniSRec
from lrrecsys_core.study.train_row import build_module
from lrrecsys_core.training.fit import Replicate, as_tensors, fit, predict
from tests.models.test_invariants import split


def outcomes(kind: type[Recommender], splits: list[Split], params: dict[str, Any]) -> list[Any]:
    """Test predictions of one replicate per split, trained side by side."""
    sizes, modules, fields, runs = Sizes.of(*splits), [], [], []
    for seed, data in enumerate(splits):
        modules.append(build_module(kind, data, sizes, "regression", seed, params))
        fields.append(as_tensors({**data.fields(), **kind.record_fields(data, sizes, **params)}))
        runs.append(Replicate(seed, data.train, data.validation, "regression", 0.01))
    run = fit(modules, fields, runs, epochs=3, pretrain_epochs=2, patience=3, batch_size=64)
    return [predict(m, f, s.test) for m, f, s in zip(run.modules, fields, splits, strict=True)]


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (A3NCF, {"dropout": 0.5}), (AARM, {"dropout": 0.5, "schedule": "joint"}), (AMCF, {}), (MTER, {}),
        (SASRec, {"dropout": 0.2, "schedule": "pre"}), (UniSRec, {"schedule": "pre"}),
        (FreeVectors, {"per_item": True}),
    ],
)  # fmt: skip
def test_alone_as_in_company(kind: type[Recommender], params: dict[str, Any]) -> None:
    splits = [split(users=30), split(1, users=45), split(2, "all", users=36)]
    alone = outcomes(kind, splits[:1], params)[0]
    for company in (splits[:2], splits):
        beside = outcomes(kind, company, params)[0]
        torch.testing.assert_close(torch.tensor(beside), torch.tensor(alone), rtol=0, atol=1e-5)
