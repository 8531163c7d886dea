#!/bin/sh
# Prints the path of the newest Python that really runs: 3.13 down to 3.11, or only the version given ($1 = 3.13).
# A name on PATH proves nothing: pyenv puts a python3.13 there that fails, while the real one waits under its versions/.
set -eu
wanted="${1:-}"

runs() { # $1 = a candidate, $2 = the version it must have; prints the real interpreter
    "$1" -c 'import ssl, sys, zlib
if not (3, 11) <= sys.version_info[:2] or "%d.%d" % sys.version_info[:2] != (sys.argv[1] or "%d.%d" % sys.version_info[:2]):
    sys.exit(1)
print(sys.executable)' "$2" 2>/dev/null
}

on_path() { # all the programs called $1 on PATH, in its order
    (IFS=:; for folder in $PATH; do [ -x "$folder/$1" ] && printf '%s\n' "$folder/$1"; done; true)
}

for version in ${wanted:-3.13 3.12 3.11}; do
    for candidate in $(on_path "python$version"); do
        runs "$candidate" "$version" && exit 0
    done
done
if [ -n "$wanted" ]; then
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$wanted"*/bin/python"$wanted"; do
        [ -x "$candidate" ] && runs "$candidate" "$wanted" && exit 0
    done
    exit 1
fi
for candidate in $(on_path python3); do
    runs "$candidate" "" && exit 0
done
echo 'No Python 3.11 or newer on PATH. On Debian: apt-get install python3 python3-venv' >&2
exit 1
