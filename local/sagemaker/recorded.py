"""Runs a module as `python -m` does, with its calls to AWS written down, and broken, in the name of a role.

`python recorded.py ROLE MODULE ARGUMENT...` is what a processing job becomes where LOCAL_CALLS names a folder. The
job's own packages may hold what is imported here already: both come from the same lock file.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1] / "emulator")
    import calls

    sys.path[0] = ""  # as python -m has it
    calls.install(sys.argv[1])
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
