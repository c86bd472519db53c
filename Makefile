# Everything runs in .venv, made with Python 3.11 and installed through constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
QUICKSTART := runs/quickstart
# Processes that test at the same time: a number, or auto for one per core.
JOBS ?= auto

.DELETE_ON_ERROR:
.PHONY: quickstart test test-python coverage lab check format figures bench clean

quickstart: .venv/installed  ## train an MPN on DelayMatchSample-v0 and look at it
	@if [ -e $(QUICKSTART)/config.json ]; \
	then $(BIN)/mpn-lab resume $(QUICKSTART); \
	else $(BIN)/mpn-lab train DelayMatchSample-v0 --out $(QUICKSTART); fi
	@$(BIN)/mpn-lab plot $(QUICKSTART)
	@echo 'Next: make lab opens the notebooks in JupyterLab; start with 01_quickstart.ipynb.'

test: .venv/installed  ## unit tests, docstring examples, notebooks, and browser tests where a Chromium is found
	$(BIN)/python scripts/strip_notebooks.py --check notebooks
	$(BIN)/python -m pytest -n $(JOBS)

# The quick tests under another Python, in a virtual environment of its own and outside CI:
#     make test-python PYTHON=python3.13
# The pins of constraints.txt hold for 3.11 to 3.13. On Linux a plain `pip install torch` brings
# gigabytes of CUDA libraries; PIP_FIND_LINKS=FOLDER takes a CPU wheel from a folder instead.
OTHER := .venv-$(notdir $(PYTHON))

test-python: $(OTHER)/installed  ## the quick tests under another Python: make test-python PYTHON=python3.13
	$(OTHER)/bin/python -m pytest -m "not slow and not browser"

coverage: .venv/installed  ## which lines the quick tests run
	$(BIN)/python -m pytest -m "not slow and not browser" --cov --cov-report=term-missing:skip-covered

lab: .venv/installed  ## open the notebooks
	$(BIN)/jupyter lab notebooks

check: .venv/installed  ## format, lint, types and imports, in Python and in the front end
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v tsc >/dev/null; \
	then tsc -p jsconfig.json && node scripts/format_front_end.cjs --check; \
	elif [ "$$MPN_LAB_REQUIRE_TSC" = 1 ]; \
	then echo 'MPN_LAB_REQUIRE_TSC is 1, but no tsc was found.'; exit 1; \
	else echo 'The front end was not checked: that needs tsc (on Debian: apt install node-typescript).'; fi

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/strip_notebooks.py notebooks
	@if command -v tsc >/dev/null; then node scripts/format_front_end.cjs; fi

figures: .venv/installed  ## the paper's figures, or one (FIG=3), from stored networks or from nothing (FRESH=1)
	$(BIN)/python -m figures $(FIG) $(if $(FRESH),--fresh)

bench: .venv/installed  ## speed beside what one would otherwise use (adds sb3-contrib)
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/kernel.py
	$(BIN)/python benchmarks/batching.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/recurrent_ppo.py
	$(BIN)/python benchmarks/imports.py

clean:
	rm -rf .venv .venv-*

# The virtual environment is right when this file is newer than what it was made from. PIP_OPTIONS may
# hold --no-compile: Python then compiles a module when it is first imported.
.venv/installed $(OTHER)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q $(PIP_OPTIONS) -c constraints.txt -e '.[dev]'
	touch $@
