#!/bin/sh
# Makes the lock files again from the *.in files. Hashes are kept and no index is named, so that a mirror works.
# Arguments go to uv, e.g. `requirements/compile.sh --upgrade-package fastapi`.
set -eu
cd "$(dirname "$0")"
uv="${UV:-../.venv/bin/uv}"
compile() {
    name=$1
    shift
    "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version "${python:-3.11}" \
        "$name.in" -o "$name.lock" "$@"
}
compile dev --override overrides.in "$@"
compile run -c dev.lock --override overrides.in "$@"
compile services -c dev.lock --override overrides.in "$@"
compile triton --no-deps "$@"
python=3.10 compile triton-image --no-deps "$@"
compile bootstrap "$@"
