"""The class behind each row of Table 2 that is trained without explanations."""

from __future__ import annotations

from typing import Final

from lrrecsys_core import rows
from lrrecsys_core.models.aspect.a3ncf import A3NCF
from lrrecsys_core.models.aspect.aarm import AARM
from lrrecsys_core.models.aspect.anr import ANR
from lrrecsys_core.models.aspect.mmalfm import MMALFM
from lrrecsys_core.models.aspect.mter import MTER, ComparER
from lrrecsys_core.models.aspect.sulm import SULM
from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.biased_mf import BiasedMF
from lrrecsys_core.models.interpretable.amcf import AMCF
from lrrecsys_core.models.interpretable.peter import PETER
from lrrecsys_core.models.interpretable.ucepic import UCEPic
from lrrecsys_core.models.sequential.bert4rec import BERT4Rec
from lrrecsys_core.models.sequential.din import DIN
from lrrecsys_core.models.sequential.parsrec import PARSRec
from lrrecsys_core.models.sequential.sasrec import SASRec
from lrrecsys_core.models.sequential.unisrec import UniSRec

MODELS: Final[dict[str, type[Recommender]]] = {
    "A3NCF": A3NCF,
    "SULM": SULM,
    "AARM": AARM,
    "MMALFM": MMALFM,
    "ANR": ANR,
    "MTER": MTER,
    "SASRec": SASRec,
    "DIN": DIN,
    "BERT4Rec": BERT4Rec,
    "UniSRec": UniSRec,
    "AMCF": AMCF,
    rows.PETER: PETER,
    "UCEPic": UCEPic,
    "PARSRec": PARSRec,
    rows.COMPARER: ComparER,
    rows.BIASED_MF: BiasedMF,
}
