# `make demo` fits the ECG simulator, `make test` runs the tests; both need Python 3.11+ and make, and nothing else.
# Each makes its own environment and reinstalls only when pyproject.toml changes; another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
DEV_VENV ?= .venv-dev
OLDEST_VENV ?= .venv-oldest
NEWEST_VENV ?= .venv-newest
DOCS_VENV ?= .venv-docs
SITE ?= docs/_build/html
DIST ?= dist

# What `make test-oldest` installs twice, and what it then runs: a file or more of each room, none that takes long
EXTRAS = compare,ecg,sde,tables
EXECUTION = $(addprefix tests/execution/test_,blocks.py calls.py failures.py host.py store.py)
QUICK = tests/test_house.py tests/test_space.py tests/test_observations.py tests/adversarial/test_metric.py \
  tests/adversarial/test_proposals.py tests/adversarial/test_reinforce.py tests/data $(EXECUTION) tests/plots \
  tests/refine/test_estimate.py tests/simulators/test_registry.py tests/test_exports.py

PIP = -m pip --disable-pip-version-check install --quiet
# As in the command line of an activated environment: without this, a PYTHONPATH set outside would hide what is installed.
unexport PYTHONPATH

.PHONY: demo test test-oldest docs coverage lint format wheel clean help

help:
	@echo "make demo    fit the ECG simulator to simulated heartbeats, into runs/demo"
	@echo "make test    run the tests and the examples of the docstrings"
	@echo "make test-oldest   quick tests, with the oldest packages that pyproject.toml allows, and by the newest Python"
	@echo "make docs    run the pages of docs/ and build the site of them into $(SITE)"
	@echo "make lint    ruff and pyright (make format mends the layout)"
	@echo "make wheel   build the wheel into $(DIST)/"
	@echo "make clean   remove environments, builds and caches"

demo: $(VENV)/.installed
	rm -rf runs/demo  # the command never overwrites a run; this one is the demo's own
	$(VENV)/bin/avo fit ecg --out runs/demo

test: $(DEV_VENV)/.installed-dev
	$(DEV_VENV)/bin/python -m pytest -n auto --dist loadfile

# What old versions warn of is theirs: warnings are errors in `make test` alone.
test-oldest: $(OLDEST_VENV)/.installed-oldest
	$(OLDEST_VENV)/bin/python -m pytest -W default --disable-warnings $(QUICK)
	newest=$$($(PYTHON) .ci/newest); test -z "$$newest" || { set -ex; \
	  $$newest -m venv $(NEWEST_VENV); \
	  $(NEWEST_VENV)/bin/python $(PIP) --editable '.[$(EXTRAS)]' pillow pytest; \
	  $(NEWEST_VENV)/bin/python -m pytest -W default --disable-warnings $(QUICK); }

# Pages are run, two at a time; a block that raises and a link that leads nowhere end it
docs: $(DOCS_VENV)/.installed-docs
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(DOCS_VENV)/bin/python -m sphinx --quiet --jobs 2 --fail-on-warning \
	  --nitpicky docs $(SITE)

coverage: $(DEV_VENV)/.installed-dev
	$(DEV_VENV)/bin/python -m coverage run -m pytest
	$(DEV_VENV)/bin/python -m coverage report

lint: $(DEV_VENV)/.installed-dev
	$(DEV_VENV)/bin/python -m ruff check .
	$(DEV_VENV)/bin/python -m ruff format --check .
	$(DEV_VENV)/bin/python -m pyright --pythonpath $(DEV_VENV)/bin/python

format: $(DEV_VENV)/.installed-dev
	$(DEV_VENV)/bin/python -m ruff check --fix .
	$(DEV_VENV)/bin/python -m ruff format .

wheel: $(DEV_VENV)/.installed-dev
	$(DEV_VENV)/bin/python -m build --outdir $(DIST) .

clean:
	rm -rf $(VENV) $(DEV_VENV) $(OLDEST_VENV) $(NEWEST_VENV) $(DOCS_VENV) docs/_build build $(DIST) avo_sbi.egg-info avo.egg-info .pytest_cache .ruff_cache .coverage
	find avo simulators critics benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml
	@$(check-python)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --editable .
	@touch $@

$(DEV_VENV)/.installed-dev: pyproject.toml
	@$(check-python)
	$(PYTHON) -m venv $(DEV_VENV)
	$(DEV_VENV)/bin/python $(PIP) --editable '.[dev]'
	@touch $@

$(DOCS_VENV)/.installed-docs: pyproject.toml
	@$(check-python)
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python $(PIP) --editable '.[docs]'
	@touch $@

$(OLDEST_VENV)/.installed-oldest: pyproject.toml
	@$(check-python)
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(PYTHON) .ci/oldest > $(OLDEST_VENV)/oldest.txt
	$(OLDEST_VENV)/bin/python $(PIP) --constraint $(OLDEST_VENV)/oldest.txt --editable '.[$(EXTRAS)]' pillow pytest
	@touch $@

define check-python
$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("avo needs Python 3.11 or later; $(PYTHON) is " + sys.version.split()[0] + ". Try make PYTHON=python3.12")'
endef
