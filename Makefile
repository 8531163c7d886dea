# The project's commands. Each target sets up what it needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV := .venv-tools/bin/uv
DEV := .venv/.synced
SAM_ENV := .venv-sam/.synced
CHECKOV_ENV := .venv-checkov/.synced
DOCS_ENV := .venv-docs/.synced
SDK_ENV := .venv-sdk/.synced
MLFLOW_ENV := .venv-mlflow/.synced
NODE := node_modules/.installed
BIN := .venv/bin
SAM := SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam
SOURCES := layers functions local pipelines scripts tests
CONFIG ?= dev
export UV_NO_PROGRESS = 1
# A name may hold what make or the shell would read otherwise.
export FIRM MATTER
# Where it is set, every process of the tests and the demo would compile anew what it imports.
unexport PYTHONDONTWRITEBYTECODE
# uv brings its own list of certificate authorities; a company's proxy is only in the system's.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= 1
endif

.PHONY: help demo up test bench fuzz faults invoke record-calls smoke rollback trial trial-report conclude variants erase pipeline compare sweep costs reference docs lint audit fmt build deploy deploy-built requirements check-requirements check-machines check-template check-security clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-20s %s\n", $$1, $$2 }'

demo: $(DEV) ## Run the whole workflow on this machine: no AWS account, no Docker
	@$(BIN)/python -m local demo

up: $(DEV) ## Keep the embedded AWS running on 127.0.0.1 until Ctrl-C
	@$(BIN)/python -m local up

# All of them in two processes, as tests/conftest.py shares them out; those that are chosen in one.
test: $(DEV) $(SDK_ENV) $(MLFLOW_ENV) ## Run the tests (ARGS="-k threshold" to choose)
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2)

bench: $(DEV) $(UV) ## Measure what docs/performance.md shows, half an hour (ONLY=growth ARGS="--lines 10000000" for one)
	@for name in $(or $(ONLY),preprocess odd_files cold_starts scoring demo forest growth bill load throttling); do \
	  case $$name in forest) python="$(UV) run --quiet --frozen --with rrcf==0.4.4 --with setuptools==80.9.0 python -W ignore";; *) python=$(BIN)/python;; esac; \
	  echo "benchmarks.$$name" >&2; \
	  $$python -m benchmarks.$$name --write docs/performance.md $(ARGS); \
	done

fuzz: $(DEV) $(UV) ## Look for uploads that break the readers: FORMAT=csv or ledes, SECONDS=600
	@PYTHONPATH=layers/core:. $(UV) run --quiet --frozen --with atheris==3.0.0 python -m tests.corpus.fuzz $(or $(FORMAT),csv) --seconds $(or $(SECONDS),600)

faults: $(DEV) ## Break each AWS call of each workflow in each way (ARGS="--match 'review |'" to choose); goes on where it was
	@PYTHONPATH=layers/core:. $(BIN)/python -m tests.faults $(ARGS)

invoke: $(DEV) ## Run one function: FUNCTION=preprocess [EVENT=events/preprocess.json]; `make up` must be running
	@bash scripts/invoke.sh "$(FUNCTION)" "$(or $(EVENT),events/$(FUNCTION).json)" $(ARGS)

record-calls: $(DEV) ## Write down anew what each role needs: tests/template/calls.json, by running tests/workflow
	@RECORD_CALLS=1 $(BIN)/python -m pytest tests/workflow

smoke: $(DEV) ## Drop a small file and check what the reviewers are told; CONFIG=dev: on AWS, else under `make up`
	@$(BIN)/python -m local.activities data/smoke.csv --lines 1500
	@$(BIN)/python scripts/smoke.py data/smoke.csv $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

rollback: $(DEV) ## Go back to a former model: [RUN=its run] [FAMILY=whose] [REASON="words"]; CONFIG=dev or prod: on AWS, else under `make up`
	@$(BIN)/python scripts/rollback.py --run "$(RUN)" --family "$(FAMILY)" --reason "$(REASON)" $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

trial: $(DEV) ## Try the model of RUN=... beside the live one: [KIND=shadow or ab] [SHARE=10]; CONFIG as above
	@$(BIN)/python scripts/trial.py begin --run "$(RUN)" --kind "$(or $(KIND),shadow)" --share "$(or $(SHARE),10)" $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

trial-report: $(DEV) ## Say what the trial has shown so far; CONFIG as above
	@$(BIN)/python scripts/trial.py report $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

conclude: $(DEV) ## End the trial: PROMOTE=yes or no [REASON="words"]; CONFIG as above
	@$(BIN)/python scripts/trial.py conclude --promote "$(PROMOTE)" --reason "$(REASON)" $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

variants: $(DEV) ## Try another forest on a real-time endpoint: ARGS="split --job ... --weight 10"; CONFIG as above
	@PYTHONPATH=layers/core $(BIN)/python scripts/variants.py $(ARGS) $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

erase: $(DEV) ## Say what would be erased of FIRM="..." [MATTER="..."]; YES=1 erases it; CONFIG as above
	@PYTHONPATH=layers/core $(BIN)/python scripts/erase.py --firm "$$FIRM" --matter "$$MATTER" $(if $(YES),--yes) $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

pipeline: $(DEV) ## Print the training flow as a SageMaker Pipeline; ROLE=arn puts it into the account; CONFIG as above
	@PYTHONPATH=layers/core:. $(BIN)/python scripts/pipeline.py --role "$(ROLE)" $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

compare: $(DEV) ## Print the last runs that trained a model side by side, or RUNS=run,run; CONFIG as above
	@PYTHONPATH=layers/core $(BIN)/python scripts/compare.py --runs "$(RUNS)" $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

sweep: $(DEV) ## Try other forests on the lines of RUN (the live model's): TREES=50,100 SAMPLES=128,256; CONFIG as above
	@PYTHONPATH=layers/core $(BIN)/python scripts/sweep.py --run "$(RUN)" --trees "$(TREES)" --samples "$(SAMPLES)" $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG))

# LINES only from the command line: to a shell it is the height of the terminal.
costs: $(DEV) ## Estimate a month: FILES and LINES in each, PAST_FILES and PAST_LINES to train on (ARGS="--help" for more)
	@PYTHONPATH=layers/core $(BIN)/python scripts/costs.py $(if $(FILES),--files $(FILES)) $(if $(filter command,$(origin LINES)),--lines $(LINES)) $(if $(PAST_FILES),--past-files $(PAST_FILES)) $(if $(PAST_LINES),--past-lines $(PAST_LINES)) $(if $(filter file,$(origin CONFIG)),,--config $(CONFIG)) $(ARGS)

reference: $(DEV) ## Write the pages of docs/ that follow from the code: parameters, metrics, errors
	@PYTHONPATH=layers/core $(BIN)/python scripts/reference.py

# Not --quiet: it hides warnings from --strict as well.
docs: $(DOCS_ENV) ## Make a site of docs/ in .local/site; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	@.venv-docs/bin/python scripts/check_site.py .local/site

lint: $(DEV) check-requirements check-machines check-template check-security ## Check style, types, template and state machines
	$(BIN)/ruff check $(wildcard $(SOURCES) benchmarks)
	$(BIN)/ruff format --check $(wildcard $(SOURCES) benchmarks)
	$(BIN)/mypy layers/core/suspicious_lines functions local pipelines

audit: $(DEV) $(UV) ## Ask PyPI's advisories about every locked package; it needs the network and is no part of `make test`
	@bash scripts/audit.sh

fmt: $(DEV) ## Format the Python code and fix what ruff can fix
	$(BIN)/ruff check --fix-only $(wildcard $(SOURCES) benchmarks)
	$(BIN)/ruff format $(wildcard $(SOURCES) benchmarks)

build: $(SAM_ENV) $(UV) ## Build the functions and layers for Lambda, test them and weigh them
	@bash scripts/build.sh

deploy: build ## Build and deploy to AWS (CONFIG=prod for the other samconfig environment)
	@$(MAKE) deploy-built

deploy-built: $(SAM_ENV) ## Deploy what `make build` has built (ARGS: more for sam deploy)
	$(SAM) deploy --config-env $(CONFIG) $(ARGS)

requirements: $(UV) ## Cut the layers' requirements.txt from uv.lock
	@sh scripts/layer_requirements.sh layers

check-requirements: $(UV) ## Check that the layers' requirements.txt agree with uv.lock
	@sh scripts/layer_requirements.sh .venv-tools/layers
	@for layer in base core data; do diff -u layers/$$layer/requirements.txt .venv-tools/layers/$$layer/requirements.txt \
	  || { echo 'layers/ and uv.lock disagree: run "make requirements"' >&2; exit 1; }; done

check-template: $(DEV) $(SAM_ENV) ## Check template.yaml and stacks/ with cfn-lint and SAM
	$(BIN)/cfn-lint template.yaml $(wildcard stacks/*.yaml) pipelines/role.yaml
	@for template in template.yaml $(wildcard stacks/*.yaml); do $(SAM) validate --lint --template $$template; done

check-security: $(CHECKOV_ENV) ## Check the templates with checkov, as .checkov.yaml says
	@.venv-checkov/bin/checkov --config-file .checkov.yaml

check-machines: ## Check statemachine/ with asl-validator, where npm is installed
	@if command -v npm >/dev/null; then \
	  $(MAKE) --quiet $(NODE); \
	  for machine in statemachine/*.asl.json; do node node_modules/.bin/asl-validator --json-path "$$machine"; done; \
	else \
	  echo 'npm is not installed: asl-validator skipped (the tests check the structure of the state machines without it)'; \
	fi

clean: ## Remove everything that make has made
	rm -rf .venv .venv-sam .venv-checkov .venv-docs .venv-sdk .venv-mlflow .venv-tools .aws-sam .local node_modules .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(UV):
	@sh scripts/get_uv.sh

$(DEV): pyproject.toml uv.lock | $(UV)
	@UV_PYTHON="$$(sh scripts/find_python.sh)" $(UV) sync --quiet --frozen
	@touch $@

# SAM, checkov and the SageMaker SDK pin other versions than the embedded AWS does; the site's packages nothing else needs.
# Each group of pyproject.toml has an environment of its own, called after it.
.venv-%/.synced: pyproject.toml uv.lock | $(UV)
	@UV_PYTHON="$$(sh scripts/find_python.sh)" UV_PROJECT_ENVIRONMENT=.venv-$* $(UV) sync --quiet --frozen --only-group $*
	@touch $@

$(NODE): package.json package-lock.json
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
