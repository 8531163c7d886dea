#!/bin/bash
# Runs one function on one event: in Lambda's own container image where a Docker engine answers, else on Lambda's own
# runtime client. Both talk to the embedded AWS that `make up` keeps running. $1 = function (verb_noun), $2 = event file;
# what follows goes to the command that runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
function=$1 event=$2
shift 2

if [ ! -f "functions/$function/app.py" ]; then
    echo "Say which: make invoke FUNCTION=NAME [EVENT=FILE], where NAME is one of: $(cd functions && echo *)" >&2
    exit 2
fi
[ -f "$event" ] || { echo "There is no event file $event" >&2; exit 2; }
[ -f .local/env.json ] || { echo 'The embedded AWS is not running: start it with "make up" in another terminal' >&2; exit 2; }

if docker info >/dev/null 2>&1; then
    make --quiet .venv-sam/.synced
    built=.aws-sam/build/template.yaml
    if [ ! -f $built ] || [ -n "$(find template.yaml stacks functions layers -name __pycache__ -prune -o -type f -newer $built -print -quit)" ]; then
        make build
    fi
    exec .venv-sam/bin/python scripts/sam_local_invoke.py "$function" "$event" "$@"
fi
exec .venv/bin/python -m local invoke "$function" --event "$event" "$@"
