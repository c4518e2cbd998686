# make quickstart: set up, reconstruct the example series, draw it.   make test: set up, check everything.
# Needs python3 >= 3.11, pip and make. PYTHON=... chooses another interpreter.

PYTHON ?= python3
BIN := .venv/bin
OUT := quickstart
EXAMPLE := examples/empiar-10499/ts254

.PHONY: quickstart test test-slow clean

quickstart: .venv/.installed
	@mkdir -p $(OUT)
	$(BIN)/cryolithe-stream run $(EXAMPLE).mrc --angles $(EXAMPLE).tlt --alignment $(EXAMPLE).xf --thickness 120 -o $(OUT)/tomogram.ome.zarr
	@$(BIN)/python examples/slices.py $(OUT)/tomogram.ome.zarr $(OUT)/slices.png
	@echo "tomogram: $(OUT)/tomogram.ome.zarr"
	@echo "picture:  $(OUT)/slices.png"

# Every check runs, whatever the ones before it said; the tests come last.
test: .venv/.installed-dev
	@failed=""; \
	check() { echo "== $$*"; "$$@" || failed="$$failed '$$1 $$2'"; }; \
	export PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=.:cli; \
	check ruff check .; \
	check ruff format --check .; \
	check mypy; \
	check lint-imports; \
	check python -m pytest -q; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

# The tests that take minutes or need a GPU (which skip where there is none).
test-slow: .venv/.installed-dev
	$(BIN)/python -m pytest -q -m "slow or gpu" --timeout 3600

clean:
	rm -rf .venv $(OUT)

.venv/.installed: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" sh .ci/install
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" sh .ci/install dev
	@touch .venv/.installed $@
