#!/usr/bin/env bash
# Builds both images and runs them on a machine without a Docker engine: lints, builds with buildah on a Debian root
# made here, then lets scripts/images_run.py put a job through them. Needs root and 27 GB of disk.
# KEEP=1 leaves the images and the package cache in .images/.
set -euo pipefail
cd "$(dirname "$0")/.."
images=$PWD/.images

if [[ ${1:-} != inside ]]; then
    if ((EUID)); then
        echo "images-check must run as root: it mounts and changes roots" >&2
        exit 1
    fi
    finish() {
        status=$?
        kill -KILL "$inside" 2>/dev/null && wait "$inside" 2>/dev/null || true
        [[ ${KEEP:-} ]] || rm -rf --one-file-system "$images"/{storage,runroot,tmp,check}
        echo "images-check: $( ((status)) && echo failed || echo passed) after ${SECONDS} s"
    }
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # In namespaces of its own, so that no process and no mount outlives this script, however it ends.
    unshare --mount --pid --fork --kill-child --mount-proc "$0" inside &
    inside=$!
    wait "$inside"
    exit
fi

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
build() { buildah --storage-driver=vfs --root "$images/storage" --runroot "$images/runroot" "$@"; }

step "tools"
missing=()
for tool in buildah debootstrap docker-compose redis-server; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
    apt-get update -q
    apt-get install -qy --no-install-recommends "${missing[@]}"
fi
# Large files pass through here, and the packages that RUN --mount=type=cache keeps.
export TMPDIR=$images/tmp
mkdir -p "$TMPDIR"

step "lint"
.venv/bin/hadolint Dockerfile
for profile in gpu cpu; do
    docker-compose --profile "$profile" config --quiet
done
echo "Dockerfile and docker-compose.yml are fine"

step "base image: Debian with python3, nothing else"
if [[ ! -e $images/base.made ]]; then
    rm -rf --one-file-system "$images/base"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$images/base" \
        >"$images/debootstrap.log"
    touch "$images/base.made"
fi
build rm --all >/dev/null
container=$(build from scratch)
build add --quiet "$container" "$images/base" / >/dev/null
# What this machine trusts, the build trusts too: it may reach the network through a proxy with a certificate of its own.
authorities=/etc/ssl/certs/ca-certificates.crt
build add --quiet "$container" "$authorities" "$authorities" >/dev/null
build config --env SSL_CERT_FILE=$authorities --env PIP_CERT=$authorities "$container"
build commit --quiet --rm "$container" localhost/edgeface-base >/dev/null

rm -rf --one-file-system "$images/check"
mkdir "$images/check"
for target in api worker; do
    step "build $target"
    # The format is Docker's because OCI's has no HEALTHCHECK.
    build bud --quiet --format docker --isolation chroot --network host \
        --build-arg PYTHON_IMAGE=localhost/edgeface-base --target "$target" --tag "localhost/edgeface-$target" .
done
build rmi --prune >/dev/null
build images --format '{{.Name}} {{.Size}}' | grep localhost/

step "run"
for target in api worker; do
    container=$(build from --pull-never "localhost/edgeface-$target")
    build mount "$container" >/dev/null
    build inspect "$container" >"$images/check/$target.json"
done
unshare --net python3 scripts/images_run.py "$images/check"
