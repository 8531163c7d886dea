#!/bin/bash
# `sam build` with the interpreter and the uv that the layers' makefiles need, then the checks of what was built.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="$PWD/.venv-tools/bin/uv"

if ! python=$(sh scripts/find_python.sh 3.13); then
    export UV_PYTHON_INSTALL_DIR="$PWD/.venv-tools/python"
    echo 'No Python 3.13 here (Lambda runs this version): asking uv for one' >&2
    if ! "$uv" python install --quiet --no-bin 3.13 || ! python=$("$uv" python find --managed-python 3.13); then
        echo 'Python 3.13 is missing and uv could not fetch it. Put a python3.13 on PATH (or: pyenv install 3.13) and try again.' >&2
        exit 1
    fi
fi
if ! command -v strip >/dev/null; then
    echo 'strip is missing, and unstripped libraries exceed the size limit. On Debian: apt-get install binutils' >&2
    exit 1
fi

export PATH="$(dirname "$python"):${uv%/*}:$PATH" SAM_CLI_TELEMETRY=0
.venv-sam/bin/sam build
# What the layers bring, for whoever has to know whether a weak package is among it.
.venv-sam/bin/python scripts/sbom.py .aws-sam/build .aws-sam/sbom.cdx.json

.venv-sam/bin/python scripts/check_build.py .aws-sam/build "$python"
