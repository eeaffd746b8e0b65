"""The toy history of Figure 2."""

import polars as pl

from lrrecsys_core.data.dataset import Dataset, make_dataset

_DETAILS = {
    "apple": "whole fruit; sweet",
    "orange": "whole fruit; citrus",
    "pear": "whole fruit; sweet",
    "watermelon": "whole fruit; sweet",
    "orange juice": "pressed; citrus; one-litre carton; smiling logo",
}


def fruit_basket() -> Dataset:
    """One consumer's five records: four fruits, then an orange juice whose details tell of its packaging, too."""
    names = list(_DETAILS)
    records = {"user_id": ["consumer"] * 5, "item_id": names, "rating": [5.0] * 5, "timestamp": list(range(1, 6))}
    items = {"item_id": names, "name": names, "details": list(_DETAILS.values())}
    return make_dataset("toy", "product", pl.DataFrame(records), pl.DataFrame(items))
