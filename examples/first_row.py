"""Load, split, explain, train one row, print one number: LR-Recsys on a small simulated hotel market.

Run it with ``python examples/first_row.py``; it takes under a minute and keeps nothing.
"""

from dataclasses import replace

from lrrecsys_core import metrics, rows
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import make_split
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.texts import make_text_set
from lrrecsys_core.study.train_row import Given, Training, train_row
from lrrecsys_core.training.fit import predict

size = replace(DEFAULT_PARAMETERS["hotels"], users=60, items=50, records_per_user=10)
market = simulate_market("hotels", seed=0, parameters=size)
split = make_split(market)

row = rows.BY_NAME[rows.LR]
texts, _ = make_text_set(split, row.texts, seed=0, epochs=30, with_shift=False)
print(texts.explainer, "says:", texts.sentences[texts.codes["positive"][0]])

given = Given(split, texts, seed=0, networks=(("regression", Step(lr=0.01)),), replicate=0)
trained = train_row(row, [given], Training(epochs=10, patience=3))

predicted = predict(trained.modules[0][0][0], trained.fields[0], split.test)
print(f"RMSE on {len(split.test)} test records: {metrics.rmse(predicted, split.target[split.test]):.4f}")
