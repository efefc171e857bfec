# make demo: read the example pages with the shipped model.  make test: the quick tests.
# Both build .venv themselves, are safe to repeat and quick the second time.
PYTHON ?= python3
RECORDS ?= ../shared/data/ptbxl
BIN := .venv/bin
COMPILED := hatch_build.py src/ecgvlm/compiled.c
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint bench crossval reproduce clean

demo: .venv/base.stamp
	$(BIN)/ecgvlm read examples/*.png examples/*.jpg

test: .venv/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Retrains the shipped weights from PTB-XL's folder that the recipe names (some hours on two cores). The package needs no 8-bit copies.
reproduce: .venv/dev.stamp
	$(BIN)/ecgvlm train --config src/ecgvlm/train/recipes/ecgvlm-small.toml --resume
	$(BIN)/ecgvlm export runs/ecgvlm-small -o src/ecgvlm/data
	rm -f src/ecgvlm/data/*.int8.onnx
	$(BIN)/python -m ecgvlm.sessions

# Judges PTB-XL's records by networks and trees that never saw their patients (two hours on two cores, most of it printing and reading pages).
POOL := runs/pool
crossval: .venv/dev.stamp
	$(BIN)/python -m ecgvlm.train.small.pool --simulate 25 --via mask --seed 100 --out $(POOL)/simulated
	$(BIN)/python -m ecgvlm.train.small.pool --records $(RECORDS) --via mask --seed 51 --out $(POOL)/mask
	$(BIN)/python -m ecgvlm.train.small.pool --records $(RECORDS) --via page --seed 71 --out $(POOL)/page
	$(BIN)/python benchmarks/crossval.py --run runs/crossval --pool $(POOL)/simulated $(POOL)/mask $(POOL)/page --records $(RECORDS)
	$(BIN)/python benchmarks/bench_ecgqa.py --run runs/crossval --records $(RECORDS)
	$(BIN)/python benchmarks/tables.py

# Measures what the README and the model card show, and writes their tables.
bench: .venv/dev.stamp
	$(BIN)/python benchmarks/fold8.py --records $(RECORDS)
	$(BIN)/python benchmarks/bench_labels.py --records $(RECORDS)
	$(BIN)/python benchmarks/bench_digitize.py --records $(RECORDS) --fold 8 --pages 60 --out benchmarks/results/digitize.json
	$(BIN)/python benchmarks/bench_photos.py --records $(RECORDS)
	$(BIN)/python benchmarks/bench_scans.py
	$(BIN)/python benchmarks/bench_ludb.py --data ../shared/data/ludb --pages
	$(BIN)/python benchmarks/bench_criteria.py --records $(RECORDS)
	$(BIN)/python benchmarks/bench_elsewhere.py --records $(RECORDS) --fold 8 --pages 60 --out benchmarks/results/elsewhere.json
	$(BIN)/python benchmarks/bench_questions.py
	$(BIN)/python benchmarks/bench_understanding.py
	$(BIN)/python benchmarks/bench_faithfulness.py --records $(RECORDS)
	$(BIN)/python benchmarks/bench_language.py
	$(BIN)/python benchmarks/bench_read.py --batch 40
	$(BIN)/python benchmarks/tables.py

.venv/bin/python:
	$(PYTHON) -m venv .venv || $(PYTHON) -m virtualenv .venv || { rm -rf .venv; \
	  echo "Could not make a virtual environment: install Python's venv (Debian: apt install python3-venv)." >&2; exit 1; }

.venv/base.stamp: pyproject.toml constraints.txt $(COMPILED) | .venv/bin/python
	$(PIP) --editable .
	$(BIN)/python -m compileall -q src
	touch $@

.venv/dev.stamp: pyproject.toml constraints.txt $(COMPILED) | .venv/bin/python
	$(PIP) --editable ".[dev,train,bench,serve,batch,heif]"
	$(BIN)/python -m compileall -q src
	touch $@ .venv/base.stamp

clean:
	rm -rf .venv runs
