"""One cold start for benchmarks.cold_starts: imports the handler `app`, answers one event, prints what each took.

    python cold_start.py [EVENT]

It imports as little as it can itself, and nothing that a handler might not have to. Of the large packages it tells
which were there once the handler was imported, and which came with the answer.
"""

import sys
import time
from types import SimpleNamespace


def loaded():
    return {name.partition(".")[0] for name in sys.modules} & {"numpy", "pandas", "pyarrow", "awswrangler"}


started, cpu = time.perf_counter(), time.process_time()
import app  # noqa: E402

took = [time.perf_counter() - started, time.process_time() - cpu]
at_import = loaded()

if len(sys.argv) > 1:
    import json

    context = SimpleNamespace(
        function_name="function",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:function",
        aws_request_id="00000000-0000-0000-0000-000000000000",
    )
    app.handler(json.loads(sys.argv[1]), context)
    took += [time.perf_counter() - started, time.process_time() - cpu]

with open("/proc/self/status") as status:  # not ru_maxrss, which starts with the parent's
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
packages = [",".join(sorted(found)) or "-" for found in (at_import, loaded() - at_import)]
print("\n", *took, int(peak) / 1024, *packages)
