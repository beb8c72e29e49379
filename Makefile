# The commands that people and other tools rely on. Each says what it does; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
CLUSTER ?= local
export CLUSTER
CLUSTER_TOOL := python3 hack/cluster.py

.PHONY: help setup check test-fast test test-teardown verify generate lock cluster-up cluster-down cluster-status images \
        kubeconfig model-refs demo demo-down

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.venv/.locked: requirements-dev.lock pyproject.toml
	@command -v python3 >/dev/null || { echo "python3 (3.11 or newer) is missing: apt-get install python3 python3-venv"; exit 1; }
	python3 -m venv .venv
	.venv/bin/pip install --quiet --require-hashes -r requirements-dev.lock
	.venv/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: .venv/.locked ## .venv with everything for development; .venv/bin/modelcascade works

check: setup ## static checks: format, ruff, mypy, import contracts
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

test-fast: setup ## tests without a cluster
	.venv/bin/pytest -q -m "not e2e and not figures and not teardown" --cov --cov-report=term

test: setup images ## everything, on the cluster that CLUSTER= names
	KUBECONFIG="$$($(CLUSTER_TOOL) kubeconfig)" .venv/bin/pytest -q -m "not teardown" --durations=15

test-teardown: setup ## takes the local cluster down and up again, and proves that nothing stays behind
	.venv/bin/pytest -q -m teardown tests/hack

verify: setup ## regenerate and demand a clean tree; API lint; chart lint
	$(PY) hack/verify.py

generate: setup ## write CRDs, reference pages and chart schema from the models
	$(PY) hack/generate.py

lock: setup ## resolve pyproject.toml into the hash-pinned lock files
	hack/lock.sh

cluster-up: ## a Ready node with StorageClass and DNS (`images` fills it)
	$(CLUSTER_TOOL) up

cluster-down: ## remove the local cluster and everything it made
	$(CLUSTER_TOOL) down

cluster-status: ## what runs, and where its logs are
	$(CLUSTER_TOOL) status

images: cluster-up ## build our image, the engine's and the models', and load them into the cluster
	$(CLUSTER_TOOL) images

kubeconfig: ## print the path of the cluster's kubeconfig, and nothing else
	@$(CLUSTER_TOOL) kubeconfig

model-refs: ## print NAME=IMAGE@sha256:DIGEST for each development model image in the cluster
	@$(CLUSTER_TOOL) model-refs

demo: setup images ## the main job: a real cascade on a real cluster, answering
	$(PY) hack/demo.py up

demo-down: setup ## remove the demo; the cluster stays
	$(PY) hack/demo.py down
