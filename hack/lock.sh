#!/usr/bin/env bash
# Resolve pyproject.toml into the two hash-pinned lock files, without any index address in them.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  .venv/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_36 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header "$@"
}
compile pyproject.toml -o requirements.lock
compile --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock
