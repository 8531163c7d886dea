#!/bin/sh
# Writes $1/<layer>/requirements.txt from uv.lock for the layers base, data and core, hashes included.
set -eu
cd "$(dirname "$0")/.."
python=$(sh scripts/find_python.sh)

cut_layer() { # $1 = target folder, $2 = group, $3... = packages to leave out
    folder=$1 group=$2
    shift 2
    mkdir -p "$folder/$group"
    for package in "$@"; do
        set -- "$@" --no-emit-package "$package"
        shift
    done
    {
        echo "# Cut from uv.lock by \`make requirements\`."
        .venv-tools/bin/uv export --quiet --frozen --python "$python" --only-group "$group" --no-header --no-annotate "$@"
    } > "$folder/$group/requirements.txt"
}

cut_layer "$1" base
# What BaseLayer brings is not packed twice; awswrangler asks for setuptools without importing it.
cut_layer "$1" data setuptools $(sed -nE 's/^([a-z0-9._-]+)==.*/\1/p' "$1/base/requirements.txt")
# Of bokeh the layer wants a file, not what its Python half needs to run.
cut_layer "$1" core $(.venv-tools/bin/uv export --quiet --frozen --python "$python" --only-group core --no-header --no-annotate --no-hashes \
    | sed -nE '/^bokeh==/d; s/^([a-z0-9._-]+)==.*/\1/p' | sort -u)
