#!/usr/bin/env bash
# Pins every dependency with its hashes and without addresses. `--upgrade` takes the newest versions.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
compile() {
    env -u UV_FIND_LINKS -u PIP_FIND_LINKS UV_CUSTOM_COMPILE_COMMAND="make requirements" \
        "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url "$@"
}
compile pyproject.toml requirements/torch.in --extra worker --extra align --extra heic --extra optuna --extra otel --extra dev -o requirements/dev.txt "${@}"
compile pyproject.toml requirements/torch.in --extra worker -c requirements/dev.txt -o requirements/worker.txt
compile pyproject.toml requirements/torch.in --extra worker --extra align -c requirements/dev.txt \
    -o requirements/align.txt
compile pyproject.toml -c requirements/dev.txt -o requirements/api.txt
echo "uv" | compile - -o requirements/uv.txt "${@}"
printf 'cyclonedx-bom\npip-audit\n' | compile - -o requirements/audit.txt "${@}"
