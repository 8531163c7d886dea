"""The library of suspicious-lines, shared by all its Lambda functions."""

import os

# NumPy's linear algebra, which nothing here uses, would start a thread a processor when it is imported: 60 ms of
# processor time of each cold start, and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
