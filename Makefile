# Each target sets up what it needs, in .venv. PYTHON names the interpreter to start from (3.11 or 3.12).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: quickstart quickstart-audio test check bench lock clean

quickstart: $(STAMP)  ## Real pictures to a report, offline, in minutes.
	$(BIN)/helmholtz run quickstart

quickstart-audio: $(STAMP)  ## Plucked strings to a report, offline, in minutes.
	$(BIN)/helmholtz run quickstart-audio

test: $(STAMP)  ## All tests.
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(STAMP)  ## Lint, format, types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## Speed, as ratios.
	$(BIN)/python benchmarks/compress.py
	$(BIN)/python benchmarks/audio.py
	$(BIN)/python benchmarks/train.py

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "helmholtz needs Python 3.11 or 3.12; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# The newest versions that resolve together, with hashes and without index addresses, for both Python versions.
lock: $(STAMP)  ## Renew requirements/*.txt.
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --group dev --extra local pyproject.toml --output-file requirements/dev.txt

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
