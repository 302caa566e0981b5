#!/usr/bin/env bash
# Packs gpu-check for a machine with a GPU and no network: source, faces, weights and wheels, into .gpu of a checkout that
# travels there. That machine needs Linux on x86-64, CPython 3.12 and PyTorch 2.11 or newer with CUDA.
#   scripts/gpu-kit.sh [CHECKOUT]     the checkout that travels; this one by default
# Faces and weights are taken from EDGEFACE_TEST_ASSETS, ../shared by default; without them gpu-check draws faces and
# takes untrained weights. WHEELS=no leaves the wheels out, for a machine that has the packages of the worker.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$(cd "${1:-.}" && pwd)
assets=${EDGEFACE_TEST_ASSETS:-../shared}
kit=$checkout/.gpu
mebibytes=64

exclude=$(git -C "$checkout" rev-parse --path-format=absolute --git-path info/exclude)
mkdir -p "$(dirname "$exclude")"
grep -qxF /.gpu/ "$exclude" 2>/dev/null || echo /.gpu/ >>"$exclude"
rm -rf "$kit"
mkdir -p "$kit"/{source,assets/faces,assets/weights,wheels}

[[ -z $(git status --porcelain) ]] || echo "only what is committed is packed" >&2
git archive HEAD app worker benchmarks tests/__init__.py tests/pretended_gpu | tar x -C "$kit/source"
rm -rf "$kit/source/app/alignment/models"
git rev-parse --short=12 HEAD >"$kit/source/COMMIT"
# Reports name the version, which an installed package has.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
metadata=$kit/source/edgeface_finetune-$version.dist-info
mkdir "$metadata"
printf 'Metadata-Version: 2.1\nName: edgeface-finetune\nVersion: %s\n' "$version" >"$metadata/METADATA"
if [[ -d $assets/faces/orl_aligned ]]; then
    cp -r "$assets/faces/orl_aligned" "$kit/assets/faces/"
    cp "$assets/weights/edgeface_xxs.pt" "$kit/assets/weights/"
    chmod -R u+w "$kit/assets"
else
    echo "no faces in $assets: gpu-check will draw them" >&2
fi

if [[ ${WHEELS:-} != no ]]; then
    # What a machine with PyTorch may lack, in the versions of the worker; timm, because its blocks are replaced by name.
    packages=(
        annotated-types google-re2 pydantic pydantic-core timm typing-extensions typing-inspection
    )
    pins=()
    for package in "${packages[@]}"; do
        pins+=("$(sed -n "s/^\($package==[^ ;]*\).*/\1/p" requirements/worker.txt)")
    done
    platforms=(--platform any)
    for libc in _2_28 _2_27 _2_17 2014 1; do
        platforms+=(--platform "manylinux${libc}_x86_64")
    done
    env -u PIP_FIND_LINKS python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
        --implementation cp "${platforms[@]}" --dest "$kit/wheels" "${pins[@]}"
fi

cat >"$kit/run.sh" <<'RUN'
#!/usr/bin/env bash
# Runs gpu-check from this kit: bash .gpu/run.sh [--out FOLDER] [options of gpu-check]
set -euo pipefail
kit=$(cd "$(dirname "$0")" && pwd)
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$kit/wheels/*.whl" >/dev/null; then
    python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$kit"/wheels/*.whl
fi
export PYTHONPATH=$kit/source:$site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python3 -m benchmarks.gpu_check --assets "$kit/assets" "$@"
RUN

travels=$({ git -C "$checkout" ls-files -z --cached --others --exclude-standard; } |
    (cd "$checkout" && du --apparent-size --bytes --total --files0-from=- 2>/dev/null) | tail -1 | cut -f1)
total=$(((travels + $(du --apparent-size --bytes --summarize "$kit" | cut -f1)) >> 20))
du --apparent-size --human-readable --summarize "$kit"/*
echo "the checkout and the kit are $total of $mebibytes MiB"
if ((total >= mebibytes)); then
    echo "that is too large to travel" >&2
    exit 1
fi
cat <<SAID

Take .gpu along with the checkout. There, in its root:
    bash .gpu/run.sh --out "\${OUT:-gpu-check}"
It takes at most 8 minutes. Bring results.json back, and write docs/performance.md from it:
    .venv/bin/python -m benchmarks.gpu_check.page results.json
SAID
