"""Prints the SageMaker Pipeline of a stack, or puts it into the account: see docs/pipelines.md.

Usage: pipeline.py [--role ARN] [--config dev|prod]. Without a role the definition is printed and nothing is changed.
The stack is found as rollback.py finds it.
"""

import argparse
import json
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from deployed import ROOT, Stack, add_stack_options, find_stack

from pipelines.definition import Place, definition
from pipelines.shipping import ship, upsert

BUILT = ROOT / ".aws-sam/build"
LAYERS = ("CoreLayer", "BaseLayer", "DataLayer")


def main() -> int:
    options = _parser().parse_args()
    try:
        stack = find_stack(options.config, options.home)
        s3 = stack.client("s3")
        bucket, key = stack.output("DataBucketName"), stack.output("DataKeyArn")
        if not options.role:
            print(json.dumps(definition(Place(s3.meta.region_name, bucket, key, "pipelines/<code>.zip")), indent=2))
            return 0
        code = ship(s3, bucket, _packages(stack))
        place = Place(s3.meta.region_name, bucket, key, code, options.role)
        print(f"{stack.where}: {upsert(stack.client('sagemaker'), options.name, place)}")
        return 0
    except (BotoCoreError, ClientError, RuntimeError) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pipeline.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--role", default="", help="whom the pipeline and its jobs work as; without, print only")
    parser.add_argument("--name", default="suspicious-lines", help="of the pipeline (default: suspicious-lines)")
    add_stack_options(parser)
    return parser


def _packages(stack: Stack) -> list[Path]:
    """What the processing steps import: the built layers, or where the jobs run in this Python the library alone.

    Raises RuntimeError where the layers have not been built.
    """
    if stack.is_embedded:
        return [ROOT / "layers/core"]
    folders = [BUILT / layer / "python" for layer in LAYERS]
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise RuntimeError(f"{missing[0]} is not there: run `make build` first")
    return folders


if __name__ == "__main__":
    sys.exit(main())
