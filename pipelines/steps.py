"""What the processing steps run: `python3 -m pipelines.steps WORK DATA MESSAGE CODE.zip`.

Imported from the archive as it is, it unpacks it for the compiled modules, which Python imports from files only. DATA
holds the job's inputs and outputs, each in a folder of its name.
"""

import json
import os
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LONGEST_MESSAGE = 800  # bytes, of which SageMaker shows 1,024 as the job's ExitMessage


def main(work: str, data: Path, message: Path, code: str) -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory() as packages:
        with zipfile.ZipFile(code) as archive:
            archive.extractall(packages)
        sys.path.insert(0, packages)
        try:
            {"preprocess": preprocess, "evaluate": evaluate}[work](data)
        except Exception as error:
            # Only the library's own errors are told in words: another message may quote a line.
            ours = type(error).__module__ == "suspicious_lines.errors"
            told = type(error).__name__ + (f": {error}" if ours else "")
            message.parent.mkdir(parents=True, exist_ok=True)
            message.write_bytes(told.encode()[:LONGEST_MESSAGE])
            print("".join(traceback.format_tb(error.__traceback__)), type(error).__name__, file=sys.stderr)
            return 1
    return 0


def preprocess(data: Path) -> None:
    """Reads the upload as the function of this name does, and writes dataset/dataset.json."""
    from msgspec import to_builtins

    from suspicious_lines.aws import client
    from suspicious_lines.messages import Upload
    from suspicious_lines.preprocessing import preprocess
    from suspicious_lines.settings import PreprocessSettings
    from suspicious_lines.train_messages import PreprocessRequest

    uri = os.environ["UPLOAD"]
    bucket = urlsplit(uri).netloc
    key = uri.removeprefix(f"s3://{bucket}/")
    head = client("s3").head_object(Bucket=bucket, Key=key)
    upload = Upload(
        bucket=bucket,
        key=key,
        etag=head["ETag"].strip('"'),
        size=head["ContentLength"],
        version_id=head.get("VersionId"),
    )
    request = PreprocessRequest(run=os.environ["RUN"], upload=upload)
    dataset = preprocess(request, PreprocessSettings.from_environment())
    _write(data / "dataset/dataset.json", to_builtins(dataset))


def evaluate(data: Path) -> None:
    """Joins the transform jobs' scores to their lines, chooses the threshold and writes evaluation/evaluation.json.

    Its `precision` is held out, and 0 where `labelled` is; `caught` is the share of the planted errors that the
    threshold finds. Lines that reviewers have judged are scored by the state machine only.
    """
    import msgspec

    from suspicious_lines.judging import judge
    from suspicious_lines.layout import RunFiles
    from suspicious_lines.measuring import try_held_out, try_planted
    from suspicious_lines.messages import Dataset
    from suspicious_lines.rules import Rules
    from suspicious_lines.scoring import write_scores
    from suspicious_lines.thresholds import Goal
    from suspicious_lines.yardstick import read_encoder, read_scored

    bucket, files = os.environ["DATA_BUCKET"], RunFiles(os.environ["RUN"])
    dataset = msgspec.json.decode((data / "dataset/dataset.json").read_bytes(), type=Dataset)
    parts = {
        kind: [part for part in dataset.parts if part.startswith(f"{kind}/")] for kind in ("validation", "planted")
    }
    for kind, names in parts.items():
        answers = {path.name: path for path in (data / kind).rglob("*.out")}
        for part in names:
            answer = answers[f"{part.rpartition('/')[2]}.csv.out"]
            scores = [float(json.loads(line)["score"]) for line in answer.read_bytes().splitlines()]
            write_scores(bucket, files, part, scores)
    encoder, rules = read_encoder(bucket, files), Rules.read(bucket)
    asked = {
        "strategy": os.environ["THRESHOLD_STRATEGY"],
        "budget": os.environ["REVIEW_BUDGET"],
        "precision_floor": os.environ["PRECISION_FLOOR"],
        "beta": os.environ["F_BETA"],
    }
    goal = msgspec.convert(asked, Goal, strict=False)
    judgement = judge(read_scored(bucket, files, parts["validation"]), encoder, rules, goal)
    held_out = try_held_out(judgement.scored, goal)
    self_test = try_planted(judgement, read_scored(bucket, files, parts["planted"]), encoder, rules)
    planted = sum(kind.planted for kind in self_test.values())
    evaluation = {
        "threshold": judgement.threshold.value,
        "strategy": judgement.threshold.strategy,
        "flagged": int(judgement.threshold.flagged.sum()),
        "labelled": int(judgement.scored.labelled.sum()),
        "precision": (held_out.precision if held_out else None) or 0.0,
        "recall": (held_out.recall if held_out else None) or 0.0,
        "caught": sum(kind.caught for kind in self_test.values()) / planted if planted else 0.0,
    }
    _write(data / "evaluation/evaluation.json", evaluation)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
