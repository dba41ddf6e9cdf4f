# Everything this project does from a checkout. `make help` lists it; what it does not list is unsupported.

PORT ?= 8107
CLOUDS ?= 3
LIBVIRT_URI ?=
FUNC_PORT ?= 51234
CERTMASTER_PORT ?= 51235

# How many requests of each operation make test-fuzz sends, with each of the roles.
EXAMPLES ?= 200

# The packages: which Python runs them, which distribution their release names, which build of a version it is,
# where the repository will be found, and the key that signs it (one made for tests, unless it is named).
PYABI ?=
DIST ?=
RELEASE ?= 1
REPO_URL ?= file:///srv/cloudmasterd/repo
GPG_KEY ?=

# The distribution's own Python, because only that one sees the distribution's libvirt binding.
PYTHON ?= $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || command -v python3)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup setup-test run test test-unit test-oldest test-integration test-guest test-fuzz check lint types house \
        format bench rpms srpms repo rpm-lint rpm-test clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make run takes PORT=8107 CLOUDS=3 FUNC_PORT=51234 CERTMASTER_PORT=51235 (these are the defaults) and"
	@echo "  LIBVIRT_URI=qemu:///system, with which the first cloud instance shows the machines of a real libvirt"

# ---------------------------------------------------------------------------------------------- set-up

setup: .venv/stamp-project ## system packages (only those missing) and .venv, for running

setup-test: setup .venv/stamp-test .venvs/cobbler/stamp .venvs/fuzz/stamp ## what the tests use besides: pytest, cobbler, QEMU ...
	@PYTHON='$(PYTHON)' sh tools/packages test
	@$(BIN)/python tests/installs/guest.py >/dev/null || echo "setup: went on without a guest to install"

.venv/bin/python:
	@PYTHON='$(PYTHON)' sh tools/packages run
	@echo "setup: making .venv from $(PYTHON)"
	@'$(PYTHON)' -m venv --system-site-packages .venv

# --no-deps: the files pin the whole tree, so nothing may come in that they do not name.
.venv/stamp-run: requirements.txt requirements-build.txt requirements-libvirt.txt | .venv/bin/python
	@PYTHON='$(PYTHON)' sh tools/packages run
	@echo "setup: installing requirements.txt into .venv"
	@$(PIP) install --no-deps -r requirements.txt -r requirements-build.txt
	@$(BIN)/python -c 'import libvirt' 2>/dev/null || { \
	    echo "setup: no libvirt binding from the distribution, building one"; \
	    $(PIP) install --no-deps --no-build-isolation -r requirements-libvirt.txt; }
	@touch $@

.venv/stamp-project: setup.py pyproject.toml .venv/stamp-run
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/stamp-test: requirements-dev.txt requirements-test.txt .venv/stamp-project
	@echo "setup: installing requirements-dev.txt into .venv"
	@$(PIP) install --no-deps -r requirements-test.txt -r requirements-dev.txt
	@touch $@

# Tests alone use it, so a machine that cannot have it (no libmagic, no wheels) skips those and says so. The
# stamp is there all the same, so that it is not tried at every make; what counts is .venvs/cobbler/usable.
.venvs/cobbler/stamp: requirements-cobbler.txt requirements-build.txt | .venv/bin/python
	@PYTHON='$(PYTHON)' sh tools/packages test
	@echo "setup: installing requirements-cobbler.txt into .venvs/cobbler"
	@rm -rf .venvs/cobbler
	@'$(PYTHON)' -m venv .venvs/cobbler
	@{ .venvs/cobbler/bin/python -m pip --disable-pip-version-check --quiet install --no-deps \
	       -r requirements-build.txt && \
	   .venvs/cobbler/bin/python -m pip --disable-pip-version-check --quiet install --no-deps \
	       --no-build-isolation --use-pep517 -r requirements-cobbler.txt && \
	   .venvs/cobbler/bin/python -W ignore -c 'import cobbler.api, cobbler.services, koan.app' >/dev/null && \
	   touch .venvs/cobbler/usable; } || \
	   echo "setup: went on without cobbler and koan: the tests that use them are skipped (rm -r .venvs/cobbler to retry)"
	@touch $@

# As with cobbler: a machine that cannot have it skips the test and says so.
.venvs/fuzz/stamp: requirements-fuzz.txt | .venv/bin/python
	@echo "setup: installing requirements-fuzz.txt into .venvs/fuzz"
	@rm -rf .venvs/fuzz
	@'$(PYTHON)' -m venv .venvs/fuzz
	@{ .venvs/fuzz/bin/python -m pip --disable-pip-version-check --quiet install --no-deps -r requirements-fuzz.txt && \
	   .venvs/fuzz/bin/schemathesis --version >/dev/null && touch .venvs/fuzz/usable; } || \
	   echo "setup: went on without schemathesis: the test that uses it is skipped (rm -r .venvs/fuzz to retry)"
	@touch $@

# ------------------------------------------------------------------------------------------------- run

run: export PORT := $(PORT)
run: export CLOUDS := $(CLOUDS)
run: export LIBVIRT_URI := $(LIBVIRT_URI)
run: export FUNC_PORT := $(FUNC_PORT)
run: export CERTMASTER_PORT := $(CERTMASTER_PORT)
run: setup ## a whole cloud on this machine, in the foreground until Ctrl-C
	@exec $(BIN)/python -m demo --with-parent

# ----------------------------------------------------------------------------------------------- tests

# Bytecode is kept even where the environment says not to: without it each worker and each program that a test starts
# compiles everything again, 25 s of 145.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q
UNIT = TMPDIR=$$(sh tools/test-folder) $(PYTEST) -n 2 -o tmp_path_retention_policy=failed

test: setup-test check test-oldest ## everything: lint, types, house, unit tests (oldest Python too), integration
	@$(UNIT) -m 'not integration'
	@$(PYTEST) -n 2 --dist loadfile -m integration

test-unit: setup-test ## the inner loop: unit and house tests but for the slow ones
	@# more than cores: these tests wait (for deadlines, sockets, threads) nearly half of their time
	@HYPOTHESIS_PROFILE=quick $(UNIT) -n 4 --dist worksteal -m 'not integration and not slow'

test-integration: setup-test ## real processes on loopback: certmaster, minions, master, a browser
	@$(PYTEST) -n 2 --dist loadfile -m integration

test-fuzz: setup-test ## the REST interface against its own document, longer: make test-fuzz EXAMPLES=300
	@CLOUDMASTERD_FUZZ='$(EXAMPLES)' $(PYTEST) -m integration tests/attacks/test_openapi_fuzz.py

# The name has the recipe in it: another recipe makes another image.
GUEST = .venvs/guest/debian-$(shell cat tools/guest-image tools/guest-cloud.cfg | cksum | cut -d' ' -f1).qcow2

test-guest: setup-test ## a whole Debian, cloned and set up by cloud-init without KVM: 2 min, 5 the first time
	@sh tools/guest-image '$(GUEST)'
	@CLOUDMASTERD_GUEST='$(GUEST)' $(PYTEST) -m integration tests/integration/test_guest.py

test-oldest: setup-test ## unit tests on the oldest other Python >= 3.9 of this machine
	@sh tools/test-oldest

check: lint types house ## lint, types and house rules

lint: setup-test ## ruff, its formatter included
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "lint: make format puts the files above right"; exit 1; }

types: setup-test ## mypy, strict
	@$(BIN)/mypy

house: setup-test ## who may import whom, and how large things may grow
	@$(PYTEST) tests/house

format: setup-test ## write the code the way lint wants it
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

# -------------------------------------------------------------------------------------------- packages

RPM_BUILD = '$(PYTHON)' tools/rpm/build.py --pyabi '$(PYABI)' --dist '$(DIST)' --release '$(RELEASE)' \
    --repo-url '$(REPO_URL)' --gpg-key '$(GPG_KEY)'

rpms: setup-rpm ## the packages, in dist/rpms: make rpms PYABI=3.14 DIST=.fc44
	@$(RPM_BUILD) rpms

srpms: setup-rpm ## the source packages alone, in dist/srpms
	@$(RPM_BUILD) srpms

repo: ## what make rpms made as a signed repository, in dist/repo: make repo GPG_KEY=...
	@'$(PYTHON)' tools/rpm/repo.py --gpg-key '$(GPG_KEY)'

rpm-lint: .venvs/rpmlint/stamp ## what rpmlint, systemd-analyze, mandoc and Apache say of what make rpms made
	@'$(PYTHON)' tools/rpm/lint.py --rpmlint .venvs/rpmlint/bin/rpmlint

rpm-test: setup-test ## machines boot, install what is built here with dnf, join, upgrade, downgrade, remove
	@$(PYTEST) tests/packaging/machines

# The tests among the checks of a package run in .venv, which has what the packages require.
.PHONY: setup-rpm
setup-rpm: .venv/stamp-test
	@PYTHON='$(PYTHON)' sh tools/packages rpm

.venvs/rpmlint/stamp: requirements-rpmlint.txt requirements-build.txt | setup-rpm
	@echo "setup: installing requirements-rpmlint.txt into .venvs/rpmlint"
	@rm -rf .venvs/rpmlint
	@'$(PYTHON)' -m venv --system-site-packages .venvs/rpmlint
	@.venvs/rpmlint/bin/python -m pip --disable-pip-version-check --quiet install --no-deps -r requirements-build.txt
	@.venvs/rpmlint/bin/python -m pip --disable-pip-version-check --quiet install --no-deps \
	    --no-build-isolation -r requirements-rpmlint.txt
	@touch $@

# ------------------------------------------------------------------------------------------------ rest

bench: setup-test ## measure beside what people would do without us
	@benchmarks/refresh
	@benchmarks/api
	@benchmarks/door
	@benchmarks/create
	@benchmarks/fanout

clean: ## remove what was built and cached (keeps .venv and var)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv and the state of the demo under var as well
	@test ! -e var/run.lock || flock -n var/run.lock true || { echo "distclean: make run is running"; exit 1; }
	@rm -rf .venv .venvs var
