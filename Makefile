# Each target sets up what it needs, in .venv. PYTHON names the interpreter to start from (3.11 or 3.12).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: quickstart quickstart-audio test check fuzz kill-soak soak bench simulations lock images images-push containers-test kind-test clean

quickstart: $(STAMP)  ## Real pictures to a report, offline, in minutes.
	$(BIN)/helmholtz run quickstart

quickstart-audio: $(STAMP)  ## Plucked strings to a report, offline, in minutes.
	$(BIN)/helmholtz run quickstart-audio

test: $(STAMP)  ## All tests.
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(STAMP)  ## Lint, format, types, secrets, known holes in dependencies, bills of materials (build/sbom).
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --exclude-files '^(tests/golden|requirements)/'
	$(BIN)/python images/supply_chain.py audit
	$(BIN)/python images/supply_chain.py sbom build/sbom

fuzz: $(STAMP)  ## 100,000 cases of bad input of every kind (about 6 minutes); what fails is saved in build/fuzz.
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --cases 100000

kill-soak: $(STAMP)  ## 200 times SIGKILL over all stages; each run has to end as if nothing had happened.
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.kills --kills 200

soak: $(STAMP)  ## 300 trials in one run, with trainers killed on the way; memory and open files stay.
	$(BIN)/python -m tests.soak --kills 12

bench: $(STAMP)  ## Speed, as ratios with their targets, into docs/performance.md. PYTORCH names a Python that has PyTorch.
	$(BIN)/python benchmarks/bench.py --write docs/performance.md $(if $(PYTORCH),--pytorch $(PYTORCH))

simulations: $(STAMP)  ## Coverage of intervals and error rates of decisions, into docs/statistics.md and docs/refinement.md.
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/intervals.py --write docs/statistics.md & intervals=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/adaptive.py --write docs/refinement.md && wait $$intervals

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "helmholtz needs Python 3.11 or 3.12; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# The newest versions that resolve together, with hashes and without index addresses, for both Python versions.
UV_LOCK = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links
# Images hold the versions that are tested. Without a GPU TensorFlow's CPU wheel replaces the other, which is twice as large.
IMAGE_LOCK = $(UV_LOCK) --constraint requirements/dev.txt
TRAIN = --extra train --extra audio --extra s3

lock: $(STAMP)  ## Renew requirements/*.txt.
	$(UV_LOCK) --group dev --extra local pyproject.toml --output-file requirements/dev.txt
	printf 'setuptools\nwheel\n' | $(IMAGE_LOCK) - --output-file requirements/build.txt
	echo tensorflow-cpu | $(IMAGE_LOCK) --no-emit-package tensorflow --extra compress --extra report --extra audio --extra s3 \
	  pyproject.toml - --output-file requirements/cpu.txt
	echo 'tensorflow[and-cuda]' | $(IMAGE_LOCK) $(TRAIN) pyproject.toml - --output-file requirements/gpu.txt
	echo tensorflow-cpu | $(IMAGE_LOCK) --no-emit-package tensorflow $(TRAIN) \
	  pyproject.toml - --output-file requirements/gpu-without-cuda.txt

images:  ## Build the container images (BASE, REGISTRY, ENGINE) and print their names.
	$(PYTHON) images/build.py build

images-push:  ## Push them to REGISTRY.
	$(PYTHON) images/build.py push

containers-test: $(STAMP)  ## Build the images and run the pipeline in them, by podman, as root. Minutes.
	$(BIN)/python -m pytest -m containers tests/containers

kind-test: $(STAMP)  ## Create a kind cluster with Kubeflow Pipelines, and run there. Needs kind and Docker.
	HELMHOLTZ_KIND=1 $(BIN)/python -m pytest tests/kind

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
