# Every target sets up .venv by itself, from the versions in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: $(READY)  ## Mend four real photographs; writes demo/sheet.png and demo/before-after.html
	$(BIN)/python examples/demo.py --output demo

test: $(READY)  ## Run the tests, two at a time
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(READY)  ## Style and types
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/ruff format --check src tests examples benchmarks
	$(BIN)/mypy

bench: $(READY)  ## Speed and quality of the deep prior, speed of the networks, as ratios in one run; a quarter of an hour
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/deep_prior.py --steps 320 --output benchmarks/results
	$(BIN)/python benchmarks/inference.py --output benchmarks/results

clean:
	rm -rf .venv demo
