# `make demo` fits the ECG simulator, `make test` runs the tests; both need Python 3.11+ and make, and nothing else.
# Each makes its own environment and reinstalls only when pyproject.toml changes; another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
DEV_VENV ?= .venv-dev
DIST ?= dist

PIP = -m pip --disable-pip-version-check install --quiet
# As in the command line of an activated environment: without this, a PYTHONPATH set outside would hide what is installed.
unexport PYTHONPATH

.PHONY: demo test coverage lint format wheel clean help

help:
	@echo "make demo    fit the ECG simulator to simulated heartbeats, into runs/demo"
	@echo "make test    run the tests and the examples of the docstrings"
	@echo "make lint    ruff and pyright (make format mends the layout)"
	@echo "make wheel   build the wheel into $(DIST)/"
	@echo "make clean   remove environments, builds and caches"

demo: $(VENV)/.installed
	rm -rf runs/demo  # the command never overwrites a run; this one is the demo's own
	$(VENV)/bin/avo fit ecg --out runs/demo

test: $(DEV_VENV)/.installed-dev
	$(DEV_VENV)/bin/python -m pytest -n auto --dist loadfile

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
	rm -rf $(VENV) $(DEV_VENV) build $(DIST) avo_sbi.egg-info avo.egg-info .pytest_cache .ruff_cache .coverage
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

define check-python
$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("avo needs Python 3.11 or later; $(PYTHON) is " + sys.version.split()[0] + ". Try make PYTHON=python3.12")'
endef
