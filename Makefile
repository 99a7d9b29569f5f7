# Each target works alone on a fresh clone: it makes the environment in .venv and reuses it when it stands.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python

.PHONY: demo test check slow docs format clean

demo: .venv/.run  ## find people in the rendered sample; pictures and results.json in demo/
	$(BIN)/personsearch demo --out demo

test: .venv/.test  ## all tests but the slow ones and those of the documentation
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

check: .venv/.test  ## style, types, the direction of imports, every command of the documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/project tests/models/test_igpn_trunk.py -m "not slow" \
		--numprocesses auto --maxprocesses 4 --dist worksteal

slow: .venv/.test .venv/.slow  ## the page in a browser, the API against its schema, twenty kills, tables of seconds
	$(BIN)/python -m pytest tests -m slow

docs: .venv/.docs  ## the site of the documentation in site/; warnings fail it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean --strict
	$(BIN)/python tools/check_site.py site

format: .venv/.test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv demo site .pytest_cache .ruff_cache .mypy_cache

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"

.venv/.%: requirements/%.txt pyproject.toml | $(BIN)/uv
	$(UV) -r $<
	$(UV) --no-deps --editable .
	touch $@
