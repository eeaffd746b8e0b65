# make reproduce                                  everything on the simulated markets, profile demo
# make reproduce PROFILE=smoke DATASETS=movielens:path/to/ml   the same on real ratings (several: a:path,b:path)
# make reproduce MARKETS=all                      all simulated markets: the first ones are kept, the rest computed
# make test                                       what continuous integration runs: the tests beside a run of profile smoke
# make llm                                        the embedded language model and its engine alone; reproduce and test install them too
# make texts                                      what that model writes about simulated markets, for its row of Table 4
# make bench | lab | clean                        benchmarks | JupyterLab | remove caches and .venv, keep results
PYTHON ?= python3
PROFILE ?= demo
DATASETS ?=
MARKETS ?=
BIN := .venv/bin
# One thread per process: sums come out in one order, and results do not depend on the number of cores.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM = false
# A run starts dozens of short processes; without kept bytecode each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: reproduce test types unit smoke llm texts bench lab clean
.DEFAULT_GOAL := reproduce

# The stamp is written last, so an installation cut short is taken up again; pip itself skips what is already there.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: run make with PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Without what their packages declare: the lock above has all that is used of it.
.venv/llm: requirements-llm.lock .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-llm.lock
	@touch $@

llm: .venv/llm

reproduce: .venv/llm
	$(BIN)/lrrecsys reproduce --profile "$(PROFILE)" --datasets "$(DATASETS)" $(if $(MARKETS),--markets "$(MARKETS)")

# All wait a good part of their time, for processes they kill and for kernels they start: side by side they take less.
test: .venv/llm
	$(BIN)/ruff check .
	$(MAKE) --no-print-directory --jobs 3 types unit smoke

types: .venv/llm
	$(BIN)/mypy lrrecsys_core

# In the order of tests/conftest.py: files of slow tests first, so that no worker is left alone with one at the end.
unit: .venv/llm
	$(BIN)/python -m pytest tests -q -p no:nbval -n auto --dist loadfile --no-loadscope-reorder --durations 20

# Trains once. The notebooks that the run leaves are then run again on what it kept, but draw and count everything anew:
# their numbers and its files must come out the same, and those that no processor changes must be the committed ones.
smoke: .venv/llm
	$(BIN)/lrrecsys reproduce --profile smoke
	LRRECSYS_MEMORY=off $(BIN)/python -m pytest -q -n auto --dist loadfile --nbval-lax --nbval-current-env \
	  --nbval-sanitize-with notebooks/sanitize.cfg results/smoke/notebooks tests/after_smoke.py
	$(BIN)/lrrecsys verify

# What the embedded model writes about Figure 2 and the first market of each domain, as it comes with the repository
# (about 6,800 prompts); what results/texts/smollm2.sqlite has is not asked again.
texts: .venv/llm
	for asked in toy market:hotels@smoke market:restaurants@smoke market:movies@smoke; do \
	  test $$asked = toy && variant=no_profile || variant=full; \
	  $(BIN)/lrrecsys explain run --data $$asked --variant $$variant --llm smollm2 --prompts zero-shot \
	    --store results/texts/smollm2.sqlite --without-prompts --go-on || exit; \
	done
	rm -rf results/texts/smollm2
	$(BIN)/lrrecsys explain freeze --store results/texts/smollm2.sqlite --folder results/texts/smollm2

bench: .venv/llm
	$(BIN)/python -m benchmarks

lab: .venv/llm
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
