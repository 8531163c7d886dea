"""Erases one firm's lines, or those of one of its matters, from the data bucket of a stack, all versions included.

Usage: erase.py --firm NAME [--matter NUMBER] [--yes] [--config dev|prod]. Without --yes it says what it would do. The
stack is found as rollback.py finds it. docs/privacy.md says what becomes of each kind of object, and what stays.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError
from deployed import Stack, add_stack_options, find_stack
from erase_features import Records, readers
from erase_packages import Change, package_changes
from erasing import (
    Cut,
    Lines,
    Target,
    cut_csv,
    cut_document,
    cut_labels,
    cut_refused,
    cut_rows,
    cut_scores,
    cut_upload,
    cut_verdicts,
    in_page,
    read_table,
    stale,
    texts,
    without_notes,
    write_table,
)

from suspicious_lines.errors import InvalidUploadError, SettingsError
from suspicious_lines.layout import CAPTURED_PREFIX, FEATURES_PREFIX, JUDGED_PREFIX, TRIALS_PREFIX, RunFiles
from suspicious_lines.ledes import Mapping
from suspicious_lines.lines import refuse_other_formats

MACHINES = ["TrainStateMachineArn", "ScoreStateMachineArn", "ReviewStateMachineArn", "MonitorStateMachineArn"]
# What is left of an upload: to write it to its old key would start a run.
REWRITTEN = "rewritten/"
VERDICTS = ("verdicts/", f"{REWRITTEN}verdicts/")
UPLOADS = ("incoming/", "invoices/", REWRITTEN, *VERDICTS)
DATASETS = ("runs/", CAPTURED_PREFIX, JUDGED_PREFIX)
COPIED = re.compile(r"/(planted|judged)-part-\d+\.csv$")
OF_REQUESTS = re.compile(r"runs/[^/]+/(async|captured)/")
LIVE_MODELS = re.compile(r"models/([^/]+/)?current\.json")  # of no family, and of each
RECEIPT = re.compile(r"runs/[^/]+/receipt\.json")
# What tells which objects hold the lines goes last: broken off, the script finds the rest when it is run again.
FIRST, THEN, LAST, SETTINGS = range(4)


@dataclass(frozen=True)
class Version:
    key: str
    version: str
    latest: bool

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.key.split("/"))


@dataclass
class Step:
    """Something to be done with a version: written as what `cut` makes of it, where there is that, and deleted."""

    order: int
    version: Version
    what: str
    cut: Callable[[bytes], bytes] | None = None
    to: str = ""


@dataclass
class Plan:
    steps: list[Step] = field(default_factory=list)
    lines: Lines = field(default_factory=set)
    cuts: dict[tuple[str, str], set[int]] = field(default_factory=dict)  # (key, version) of an upload: its lines
    alike: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


class Bucket:
    def __init__(self, s3: Any, name: str) -> None:
        self.s3, self.name = s3, name

    def versions(self, prefix: str = "") -> list[Version]:
        """All that are stored; delete markers hold nothing."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix)
        found = [entry for page in pages for entry in page.get("Versions", [])]
        return [Version(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in found]

    def read(self, version: Version) -> bytes:
        return self.s3.get_object(Bucket=self.name, Key=version.key, VersionId=version.version)["Body"].read()

    def do(self, step: Step) -> None:
        """Written first, so that a script that is broken off loses nothing."""
        version = step.version
        of = {"Bucket": self.name, "Key": version.key}
        if step.cut:
            found = self.s3.get_object(**of, VersionId=version.version)
            body = step.cut(found["Body"].read())
            # Written by somebody else meanwhile: refused, and found again by the next run of this script.
            condition = {} if step.to else {"IfMatch": found["ETag"]}
            written = {"Body": body, "ContentType": found["ContentType"], **condition}
            self.s3.put_object(Bucket=self.name, Key=step.to or version.key, **written)
        self.s3.delete_object(**of, VersionId=version.version)

    def drop_markers(self, key: str) -> None:
        """Deletes what S3 leaves of a key whose versions are all gone."""
        if any(version.key == key for version in self.versions(key)):
            return
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=key):
            for marker in page.get("DeleteMarkers", []):
                if marker["Key"] == key:
                    self.s3.delete_object(Bucket=self.name, Key=key, VersionId=marker["VersionId"])


class Planner:
    """Finds what holds the target's lines, kind by kind; a kind may need what an earlier one has found."""

    def __init__(self, bucket: Bucket, target: Target) -> None:
        self.bucket, self.target, self.plan = bucket, target, Plan()
        self.versions = bucket.versions()
        self.by_key = {version.key: version for version in self.versions if version.latest}
        self.inputs, self.digests = self._inputs()
        self.records = Records()
        codes = self.by_key.get("config/ledes.json")
        self.codes = Mapping.from_json(bucket.read(codes)) if codes else Mapping.default()

    def run(self) -> Plan:
        """Raises RuntimeError where a model would be left without the lines that it is measured by."""
        for version in self.versions:
            beside = version.parts[0] == "runs" and version.parts[2] in {"scores", "trained"}
            if version.key.startswith(DATASETS) and version.key.endswith(".parquet") and not beside:
                self._dataset(version)
        for version in self._under(TRIALS_PREFIX):
            if version.key.endswith(".parquet"):
                self._of_a_trial(version)
        for version in self.versions:
            if version.key.startswith(UPLOADS):
                self._upload(version)
        for version in self.versions:
            self._other(version)
        runs = {step.version.parts[1] for step in self.plan.steps if step.version.parts[0] == "runs"}
        runs |= {run for run, upload in self.inputs.items() if upload in self.plan.cuts}
        for run in sorted(runs):
            # Rows without a name or a number: nobody can tell whose they are, and only the training job read them.
            for kind in ("features/train", "features/test", "trained"):
                for version in self._under(f"runs/{run}/{kind}/"):
                    self._add(FIRST, version, "features of training")
            for version in self._under(f"runs/{run}/transformed/"):  # they have become scores
                self._add(FIRST, version, "answers of a transform job")
            for version in self._under(f"runs/{run}/features/"):
                if COPIED.search(version.key):
                    self._add(FIRST, version, "copies of features for a transform job")
        anything = bool(runs or self.plan.cuts or self.plan.lines)
        for run in sorted(readers(self.versions, self.bucket.read) - runs) if anything else []:
            for version in self._under(RunFiles(run).train_features):
                self._add(FIRST, version, "features of training, stored lines of other files among them")
        for version in self.versions if runs else []:
            if OF_REQUESTS.match(version.key):  # of any run's lines, with nothing that tells whose
                self._add(FIRST, version, "what an endpoint was asked and answered")
        for run in runs:
            lines = {line for of, line in self.plan.lines if of == run}
            self.records.of_run(self.digests.get(run), lines, whole=self.inputs.get(run) in self.plan.cuts)
        for version in self._under(FEATURES_PREFIX) if runs or self.plan.cuts else []:
            self._stored(version)
        self.plan.steps.sort(key=lambda step: step.order)
        return self.plan

    def _inputs(self) -> tuple[dict[str, tuple[str, str]], dict[str, str | None]]:
        """The upload that each run read, by key and version; and its digest."""
        receipts = [version for version in self.by_key.values() if RECEIPT.fullmatch(version.key)]
        read = {version.parts[1]: json.loads(self.bucket.read(version)) for version in receipts}
        uploads = {run: receipt["input"] for run, receipt in read.items() if receipt["input"]}
        inputs = {run: (upload["key"], upload["version_id"]) for run, upload in uploads.items()}
        return inputs, {run: receipt.get("sha256") for run, receipt in read.items()}

    def _under(self, prefix: str) -> list[Version]:
        return [version for version in self.versions if version.key.startswith(prefix)]

    def _add(
        self, order: int, version: Version, what: str, cut: Callable[[bytes], bytes] | None = None, to: str = ""
    ) -> None:
        """Versions that were superseded are deleted whole: they are there for those who overwrite by mistake."""
        self.plan.steps.append(Step(order, version, what, cut if version.latest else None, to))

    def _dataset(self, version: Version) -> None:
        table = read_table(self.bucket.read(version))
        frame = table.select(["firm_name", "matter_number"]).to_pandas()
        self.plan.alike.update(filter(self.target.like, frame["firm_name"].dropna().unique()))
        gone = self.target.mask(frame)
        if not gone.any() and without_notes(table, self.target) is table and not stale(table, self.target):
            return
        in_run, what = version.parts[0] == "runs", f"{gone.sum():,} of {len(gone):,} lines"
        if not in_run or version.parts[-2] not in {"planted", "judged"}:
            numbers = table.column("line").to_pylist()
            runs = [version.parts[1]] * len(numbers) if in_run else table.column("run").to_pylist()
            self.plan.lines |= {(run, line) for run, line, out in zip(runs, numbers, gone, strict=True) if out}
        if gone.all() and not in_run:
            self._add(LAST, version, what)
            return
        if gone.all() and version.latest and version.parts[2] == "results" and version.parts[1] in self._models():
            raise RuntimeError(
                f"the model of run {version.parts[1]} is measured by no other lines: train another first"
            )
        self._add(LAST, version, what, lambda body: write_table(without_notes(read_table(body), self.target), gone))
        if gone.any() and in_run and version.parts[2] == "lines":
            self._beside(version, gone)

    def _beside(self, version: Version, gone: np.ndarray) -> None:
        """The features and scores of a part, which are in the order of its lines."""
        run, part = version.parts[1], "/".join(version.parts[3:]).removesuffix(".parquet")
        beside = re.compile(rf"((champion|shadow)/[^/]+/)?{re.escape(part)}\.(csv|parquet)")
        for kind, cut in (("features", cut_rows), ("scores", cut_scores)):
            for other in self._under(f"runs/{run}/{kind}/"):
                if beside.fullmatch("/".join(other.parts[3:])):
                    self._add(FIRST, other, f"their {kind}", lambda body, cut=cut: cut(body, gone))

    def _of_a_trial(self, version: Version) -> None:
        """Two models' scores of lines, which are named by their run and number only."""
        table = read_table(self.bucket.read(version))
        rows = zip(table.column("run").to_pylist(), table.column("line").to_pylist(), strict=True)
        gone = np.array([row in self.plan.lines for row in rows], dtype=bool)
        if gone.any():
            self._add(FIRST, version, "their scores in a trial", lambda body: write_table(read_table(body), gone))

    def _models(self) -> set[str]:
        lives = [version for version in self.by_key.values() if LIVE_MODELS.fullmatch(version.key)]
        models = [json.loads(self.bucket.read(version)) for version in lives]
        of_all = [model for live in models for model in (live, *live["former"], live.get("challenger"))]
        return {model["run"] for model in of_all if model}

    def _upload(self, version: Version) -> None:
        body = self.bucket.read(version)
        try:
            found = self._cut(version, body)
        except InvalidUploadError:
            self._unusable(version, body)
            return
        if not found.erased:
            return
        self.plan.cuts[version.key, version.version] = found.erased
        self.records.of_upload(body, found.erased)
        what = f"{len(found.erased):,} of {len(found.erased) + found.left:,} lines"
        to = "" if version.key.startswith(REWRITTEN) else f"{REWRITTEN}{version.parts[0]}/{version.version}.csv"
        cut = (lambda body: self._cut(version, body).body) if found.left else None
        self._add(THEN, version, what, cut, to)

    def _cut(self, version: Version, body: bytes) -> Cut:
        if version.key.startswith(VERDICTS):
            return cut_verdicts(body, self.target, self.plan.lines)
        return cut_upload(body, self.target, self.codes, self.plan.alike.add)

    def _unusable(self, version: Version, body: bytes) -> None:
        """A file that was refused as a whole: no line of it was read."""
        if self.target.within_bytes(body):
            self._add(THEN, version, "an unusable file that holds the name")
            return
        try:
            refuse_other_formats(body[:4096], version.key)
        except InvalidUploadError:
            if body.strip():
                self.plan.unread.append(version.key)

    def _stored(self, version: Version) -> None:
        """A file of the feature store."""
        gone = self.records.mask(read_table(self.bucket.read(version)))
        if gone.any():
            what = f"{gone.sum():,} of {len(gone):,} records"
            cut = None if gone.all() else (lambda body: write_table(read_table(body), gone))
            self._add(FIRST, version, what, cut)

    def _other(self, version: Version) -> None:
        top, name = version.parts[0], version.parts[-1]
        if top == "athena":
            self._add(FIRST, version, "answers to queries")
        elif top == "ground-truth":
            self._rows(version, lambda body: cut_labels(body, self.plan.lines), "labels")
        elif top == "parked":
            detail = json.loads(self.bucket.read(version))
            if (detail["object"]["key"], detail["object"].get("version-id")) in self.plan.cuts:
                self._add(FIRST, version, "note of an upload that waits")
        elif top == "runs" and name == "rejected.csv":
            numbers = self.plan.cuts.get(self.inputs.get(version.parts[1], ("", "")), set())
            self._rows(version, lambda body: cut_refused(body, self.target, numbers), "refused lines")
        elif top == "runs" and name == "suspicious_lines.csv":
            self._rows(version, lambda body: cut_csv(body, self.target.row), "lines")
        elif name == "report.html" and top == "runs":
            if in_page(self.bucket.read(version), self.target):
                self._add(FIRST, version, "the page that lists them")
        elif name.endswith(".json") and not self.target.matter and (top == "config" or "results" in version.parts):
            document = json.loads(self.bucket.read(version))
            left = cut_document(document, self.target)
            if left != document:
                text = json.dumps(left, ensure_ascii=False, indent=2) + "\n"
                order = SETTINGS if top == "config" else FIRST
                self._add(order, version, "what names the firm", lambda _: text.encode())

    def _rows(self, version: Version, cut: Callable[[bytes], tuple[bytes, int]], what: str) -> None:
        count = cut(self.bucket.read(version))[1]
        if count:
            self._add(FIRST, version, f"{count:,} {what}", lambda body: cut(body)[0])


def leftovers(bucket: Bucket, target: Target) -> list[str]:
    """The objects that hold the firm's name all the same: in a text that is no name of a firm, or of another kind."""
    forms = target.forms()

    def holds(version: Version) -> bool:
        body = bucket.read(version)
        if version.key.startswith(DATASETS) and version.key.endswith(".parquet"):
            body = "\n".join(texts(read_table(body))).encode()
        return any(form in body for form in forms)

    found = [version.key for version in bucket.versions() if holds(version)]
    return sorted({*found, *(version.key for version in bucket.versions() if target.firm in version.key)})


def refuse_while_running(stack: Stack) -> None:
    """Raises RuntimeError where a run could write lines behind our back."""
    sfn = stack.client("stepfunctions")
    for name in [*MACHINES, *({"ShadowStateMachineArn", "SweepStateMachineArn"} & stack.outputs.keys())]:
        listed = sfn.list_executions(stateMachineArn=stack.output(name), statusFilter="RUNNING", maxResults=1)
        for execution in listed["executions"]:
            raise RuntimeError(f"{execution['executionArn']} is running: wait for its end, or stop it")


def main() -> int:
    parser = argparse.ArgumentParser(prog="erase.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--firm", required=True, help="name of the firm, as the lists have it")
    parser.add_argument("--matter", default="", help="only the lines with this matter number")
    parser.add_argument("--yes", action="store_true", help="do it (default: say what would be done)")
    add_stack_options(parser)
    options = parser.parse_args()
    try:
        target = Target.of(options.firm, options.matter)
        stack = find_stack(options.config, options.home)
        bucket = Bucket(stack.client("s3"), stack.output("DataBucketName"))
        print(f"{'erasing' if options.yes else 'would erase'} {stack.where}, s3://{bucket.name}", flush=True)
        if options.yes:
            refuse_while_running(stack)
        plan = Planner(bucket, target).run()
        sagemaker, changes = stack.client("sagemaker"), []
        if group := stack.outputs.get("ModelPackageGroupName"):
            changes = list(package_changes(sagemaker, group, {version for _, version in plan.cuts}, target))
        tell(plan, changes)
        if not options.yes:
            return 0
        for change in changes:  # first: once an upload is gone, nothing tells whose packages it was
            sagemaker.update_model_package(**change.request)
        return _erase(bucket, target, plan)
    except (BotoCoreError, ClientError, RuntimeError, SettingsError, ValueError) as error:
        print(f"erase: {error}", file=sys.stderr)
        return 1


def tell(plan: Plan, changes: list[Change]) -> None:
    for change in changes:
        print(f"  {change.request['ModelPackageArn']}: {change.what}")
    for step in plan.steps:
        version = step.version
        done = "delete" if not step.cut else f"rewrite as {step.to}" if step.to else "rewrite"
        print(f"  {done}: {version.key} ({version.version if not version.latest else 'current'}): {step.what}")
    kinds = Counter("rewritten" if step.cut else "deleted" for step in plan.steps)
    print(f"{len(plan.steps)} versions: {kinds['rewritten']} rewritten, {kinds['deleted']} deleted")
    for name in sorted(plan.alike):
        print(f"another name, not erased: {name}")
    for key in sorted(set(plan.unread)):
        print(f"cannot be looked into, not erased: {key}")


def _erase(bucket: Bucket, target: Target, plan: Plan) -> int:
    for step in plan.steps:
        bucket.do(step)
    for key in {step.version.key for step in plan.steps}:
        bucket.drop_markers(key)
    again = Planner(bucket, target).run()
    if again.steps:
        print(f"erase: {len(again.steps)} versions hold such lines again or still: run it once more", file=sys.stderr)
        return 1
    named = [] if target.matter else leftovers(bucket, target)
    for key in named:
        print(f"erase: the name is still in {key}: look whether it is this firm's", file=sys.stderr)
    return 1 if named else 0


if __name__ == "__main__":
    sys.exit(main())
