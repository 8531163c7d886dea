"""A Lambda execution environment: Lambda's own runtime client, run in the directory of the deployed code.

Started as a script by `local.emulator.lambdas` with LAMBDA_TASK_ROOT, _HANDLER and AWS_LAMBDA_RUNTIME_API set.
It reads nothing from stdin: the pipe closes when the emulator ends, and the worker ends with it.
"""

import os
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import calls

    calls.install(os.environ["AWS_LAMBDA_FUNCTION_NAME"])
    # Lambda puts the function's own code first; this script's directory has no place there.
    sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
    from awslambdaric import bootstrap
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

    bootstrap.run(os.environ["_HANDLER"], LambdaRuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"]))
