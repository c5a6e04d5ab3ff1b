# Aoede: the commands of daily work. `make` alone lists them.
#
# Every target sets up what it needs in $(VENV) and does it once: a stamp file remembers, and a change of
# pyproject.toml or constraints.txt makes it do it again. Variables (give them on the command line or export them):
#   VENV         the virtual environment                                  (.venv)
#   PYTHON       the Python, 3.11 or newer, that creates it               (the first one found)
#   TORCH_INDEX  a further package index for torch, for example PyTorch's CPU wheels (docs/install.md)
#   JOBS         test processes                                           (2)
#   PYTEST       further words for pytest: PYTEST="-k router -x"

VENV ?= .venv
JOBS ?= 2
OUT ?= speech.wav
PORT ?= 8000

BIN := $(VENV)/bin
SPEAK_READY := $(VENV)/.ready-speak
SERVE_READY := $(VENV)/.ready-serve
TEST_READY := $(VENV)/.ready-test
LINT_READY := $(VENV)/.ready-lint
LOCK := pyproject.toml constraints.txt
INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)")

# What a person typed goes to the programs through the environment, unread by make ($(value ...)) and by the shell
# ("$$AOEDE_..."): quotes, apostrophes, dollar signs, percent signs and newlines arrive as they were typed.
export AOEDE_TEXT = $(value TEXT)
export AOEDE_OUT = $(value OUT)
export AOEDE_VOICE = $(value VOICE)
export AOEDE_SPEAKER = $(value SPEAKER)
export AOEDE_SEED = $(value SEED)
unexport TEXT OUT VOICE SPEAKER SEED
MAKEOVERRIDES :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help speak serve text-given test test-slow lint style types format bench lock clean

help:
	@echo 'make speak TEXT="Hello." [OUT=speech.wav] [VOICE=folder] [SPEAKER=name] [SEED=0]   speak a sentence'
	@echo 'make serve [PORT=8000] [VOICE=folder]  the web page, and the voice over HTTP'
	@echo 'make test [PYTEST="-k name"]     run the tests          make lint     check style and types'
	@echo 'make test-slow                   run the slow tests     make format   rewrite the style'
	@echo 'make bench                       run the benchmarks     make clean    remove what was built'
	@echo 'make lock                        write constraints.txt anew from a fresh environment'

speak: text-given $(SPEAK_READY)
	@$(BIN)/aoede speak --output "$$AOEDE_OUT" $${AOEDE_VOICE:+--voice "$$AOEDE_VOICE"} \
	  $${AOEDE_SPEAKER:+--speaker "$$AOEDE_SPEAKER"} $${AOEDE_SEED:+--seed "$$AOEDE_SEED"} -- "$$AOEDE_TEXT"

serve: $(SERVE_READY)
	@exec $(BIN)/aoede serve --port "$(PORT)" $${AOEDE_VOICE:+--voice "$$AOEDE_VOICE"}

# Asked before anything is installed.
text-given:
	@test -n "$$AOEDE_TEXT" || { echo 'make speak: no text; say it like this: make speak TEXT="Hello there."' >&2; exit 2; }

test: $(TEST_READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(PYTEST)

test-slow: $(TEST_READY)
	$(BIN)/python -m pytest -m slow $(PYTEST)

lint: style types

style: $(LINT_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(LINT_READY)
	$(BIN)/mypy

format: $(LINT_READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TEST_READY)
	@for file in benchmarks/[0-9a-z]*.py; do \
	  test -e "$$file" || { echo 'make bench: no benchmark yet'; break; }; \
	  echo "== $$file"; $(BIN)/python "$$file" || exit 1; \
	done

# Python is looked for by running it: a version manager may show a command that it cannot start.
$(BIN)/python:
	@set -- python3.11 python3.12 python3.13 python3.14 python3 python; \
	if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; fi; \
	found=; \
	for python in "$$@"; do \
	  if "$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: no Python 3.11 or newer with its venv module among: $$*; install one (Debian: apt install python3" \
	    "python3-venv) or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; fi; \
	echo "setting up $(VENV) with $$("$$found" --version): some minutes, once"; \
	"$$found" -m venv "$(VENV)"

$(SPEAK_READY): $(LOCK) | $(BIN)/python
	@$(INSTALL) --editable .
	@touch $@

$(SERVE_READY): $(LOCK) $(SPEAK_READY)
	@$(INSTALL) --editable '.[serve]'
	@touch $@

$(TEST_READY): $(LOCK) $(SPEAK_READY)
	@$(INSTALL) --editable '.[test]'
	@touch $@

$(LINT_READY): $(LOCK) $(SPEAK_READY)
	@$(INSTALL) --editable '.[lint]'
	@touch $@

# Only the direct needs of pyproject.toml are resolved, to the newest versions that agree; local version labels
# (torch 2.13.0+cpu) are cut, so that the same pin finds each machine's own build.
lock:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(MAKE) --no-print-directory VENV="$$tmp/venv" "$$tmp/venv/bin/python" && \
	"$$tmp/venv/bin/python" -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") --editable '.[eval,test,lint]' && \
	{ sed -n '/^#/p' constraints.txt; "$$tmp/venv/bin/python" -m pip freeze --all --exclude-editable | sed '/^#/d; /^pip==/d; s/+[a-z0-9.]*$$//'; } >"$$tmp/lock" && \
	mv "$$tmp/lock" constraints.txt

clean:
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
