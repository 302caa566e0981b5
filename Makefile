# `make demo` shows it at work, `make test` checks it; both install what they need into .venv.
PYTHON ?= python3
DEMO_OPTIONS = $(if $(FACES),--faces "$(FACES)") $(if $(WEIGHTS),--weights "$(WEIGHTS)")
UV_INSTALL = env -u UV_FIND_LINKS -u PIP_FIND_LINKS .venv/bin/uv pip install --quiet --python .venv/bin/python

# Where this is set, every process would compile PyTorch's sources again: 10 s of CPU time each.
unexport PYTHONDONTWRITEBYTECODE

PYTEST = .venv/bin/pytest --numprocesses 2 --dist worksteal --durations 15

.PHONY: demo test test-slow nightly chaos install install-align install-dev lint requirements sbom audit compose-check gpu-check clean

demo: install
	.venv/bin/edgeface-finetune demo $(DEMO_OPTIONS)

test: install-dev lint
	$(PYTEST)

# The second tier: chaos, all variants on PostgreSQL, long trainings, old versions.
test-slow: install-dev
	$(PYTEST) --slow -m slow

# Longer still, by hand.
nightly: install-dev
	$(PYTEST) --nightly -m nightly

# Kills real processes at random points: make chaos KILLS=200 SEED=1
chaos: install-dev
	.venv/bin/python -m tests.chaos --kills $(or $(KILLS),200) $(if $(SEED),--seed $(SEED)) $(if $(ON),--on $(ON))

install: .venv/installed-worker
# With what `dataset build --align` needs.
install-align: .venv/installed-align
install-dev: .venv/installed-dev

lint: install-dev
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
	touch $@

.venv/installed-%: requirements/%.txt pyproject.toml .venv/bin/uv
	$(UV_INSTALL) --require-hashes --requirement $<
	$(UV_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

requirements: .venv/bin/uv
	scripts/compile-requirements.sh $(OPTIONS)

# What the images are made of, as CycloneDX. Needs no database of vulnerabilities.
sbom: .audit/installed
	mkdir -p var/sbom
	for image in api worker; do \
		.audit/bin/cyclonedx-py requirements requirements/$$image.txt --output-file var/sbom/$$image.json || exit 1; \
	done

# Asks PyPI's JSON API about known vulnerabilities; fails where it does not answer for a package.
audit: sbom
	.audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/worker.txt

.audit/installed: requirements/audit.txt .venv/bin/uv
	.venv/bin/uv venv --quiet --allow-existing .audit
	env -u UV_FIND_LINKS -u PIP_FIND_LINKS .venv/bin/uv pip install --quiet --python .audit/bin/python \
		--require-hashes --requirement $<
	touch $@

# docker-compose.yml on a Docker engine of its own, which it installs on Debian. As root, on a machine without an engine.
compose-check: install-dev
	EDGEFACE_INSTALL_ENGINE=1 .venv/bin/pytest --nightly tests/compose

# On a machine with a GPU; elsewhere: make gpu-check OPTIONS=--tiny
gpu-check: install
	.venv/bin/python -m benchmarks.gpu_check --out var/gpu-check $(OPTIONS)

clean:
	rm -rf .venv .audit var .gpu .mypy_cache .ruff_cache .pytest_cache
