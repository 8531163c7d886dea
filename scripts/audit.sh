#!/bin/bash
# Asks PyPI's advisories about every locked package: those of the layers, and those that develop and deploy with them.
# pip-audit --strict ends with an error where it could not ask; what is asked about must be as much as is locked.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv=.venv-tools/bin/uv

for layer in base data core; do
    cp "layers/$layer/requirements.txt" "$work/$layer.txt"
done
for group in dev sam checkov docs sdk; do
    "$uv" export --quiet --frozen --only-group "$group" --no-header --no-annotate > "$work/$group.txt"
done
lists=()
for list in base data core dev sam checkov docs sdk; do
    count=$(grep -cE '^[a-z0-9._-]+==' "$work/$list.txt") || { echo "audit: $list has no packages" >&2; exit 1; }
    echo "$list: asking about $count packages"
    lists+=(--requirement "$work/$list.txt")
done
# The lists are complete and hashed: nothing is to be resolved or downloaded.
.venv/bin/python -m pip_audit --strict --require-hashes --disable-pip --progress-spinner off "${lists[@]}" \
    || { echo 'audit: a package is known to be weak, or could not be asked about: see above' >&2; exit 1; }
