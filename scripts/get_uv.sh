#!/bin/sh
# Puts a working uv at .venv-tools/bin/uv: the one on PATH if it reads this project's lock, else one from PyPI.
set -eu
cd "$(dirname "$0")/.."
python=$(sh scripts/find_python.sh)
rm -rf .venv-tools

if command -v uv >/dev/null && uv export --quiet --frozen --only-group base --python "$python" >/dev/null 2>&1; then
    mkdir -p .venv-tools/bin
    ln -s "$(command -v uv)" .venv-tools/bin/uv
    exit 0
fi
echo 'Installing uv (the package manager) into .venv-tools' >&2
package='uv>=0.13,<0.14'
# Debian ships venv and pip as packages of their own, so either may be missing.
if "$python" -c 'import ensurepip' 2>/dev/null && "$python" -m venv .venv-tools; then
    .venv-tools/bin/python -m pip install --quiet --disable-pip-version-check "$package"
elif "$python" -m pip --version >/dev/null 2>&1; then
    rm -rf .venv-tools
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .venv-tools "$package"
else
    rm -rf .venv-tools
    echo "$python has neither venv nor pip, and uv is not on PATH." >&2
    echo 'On Debian or Ubuntu: apt-get install python3-venv. Elsewhere: https://docs.astral.sh/uv/getting-started/installation/' >&2
    exit 1
fi
