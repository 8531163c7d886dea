"""Measurements of the product on generated files; the library is imported from where the layer keeps it."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "core"))
# Every file has a process of its own: threads in it would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
