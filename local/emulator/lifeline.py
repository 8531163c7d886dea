"""Ties a process to the life of the one that started it, whatever ends that one (Ctrl-C, SIGTERM, kill -9).

The parent holds the writing end of the child's stdin and never writes; when the parent is gone the pipe closes.
Run as a program it gives a lifeline to any module: `python -m local.emulator.lifeline MODULE [ARGUMENT...]`.
"""

import os
import runpy
import signal
import sys
import threading


def hold() -> None:
    """End this process and all it started as soon as stdin closes."""
    if os.getpgrp() != os.getpid():
        os.setsid()

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    hold()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
