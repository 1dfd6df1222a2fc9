#!/bin/sh
# Makes services/contracts/wire from proto/. `--check` only compares and fails on drift.
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
out=.
if [ "${1:-}" = "--check" ]; then
    out="$(mktemp -d)"
    trap 'rm -rf "$out"' EXIT
fi
bin="$(dirname "$python")"
"$python" -m grpc_tools.protoc -Iproto \
    --python_out="$out" --grpc_python_out="$out" \
    --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --mypy_out="$out" \
    $(find proto -name '*.proto' | LC_ALL=C sort)
if [ "${1:-}" = "--check" ]; then
    if ! diff -r -x __pycache__ -x __init__.py services/contracts/wire "$out/services/contracts/wire"; then
        echo "services/contracts/wire is not what proto/ makes: run proto/generate.sh and commit" >&2
        exit 1
    fi
    echo "services/contracts/wire is what proto/ makes"
fi
