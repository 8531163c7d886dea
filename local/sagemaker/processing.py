"""Processing jobs: a container's entrypoint, run here as a process of this Python, with S3 objects in and out.

The image's name is checked and nothing of it used: its Python is the one that runs this engine. /opt/ml, where the
container would find its inputs, is a folder of its own for each job: the path is replaced by that folder's wherever it
stands in the entrypoint, the arguments and the environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.emulator import calls
from local.sagemaker.errors import AlgorithmError, invalid
from local.sagemaker.images import require_private_image
from local.sagemaker.jobs import Ended, Job, Jobs, echoed, now
from local.sagemaker.store import relative_key

ROOT = "/opt/ml"
DATA = f"{ROOT}/processing/"
MESSAGE = f"{ROOT}/output/message"
LONGEST_MESSAGE = 1024  # bytes
CHECK_SECONDS = 0.05
TERM_SECONDS = 5  # SageMaker gives a container 120 between SIGTERM and SIGKILL
PYTHONS = ("python", "python3")
RECORDED = Path(__file__).with_name("recorded.py")


@dataclass
class ProcessingJob(Job):
    """`message`: what the process left in /opt/ml/output/message."""

    message: str | None = None


class ProcessingJobs(Jobs[ProcessingJob]):
    """The four operations on processing jobs."""

    resource, title, default_order = "ProcessingJob", "processing job", "Descending"

    def _new(self, request: dict[str, Any], arn: str) -> ProcessingJob:
        return ProcessingJob(request, arn, now())

    def _resources(self, request: dict[str, Any]) -> dict[str, Any]:
        return request["ProcessingResources"]["ClusterConfig"]

    def _refuse(self, request: dict[str, Any]) -> None:
        specification, cluster = request["AppSpecification"], self._resources(request)
        require_private_image(specification["ImageUri"], self._region)
        if specification.get("ContainerEntrypoint", [""])[0] not in PYTHONS:
            raise invalid(f"The local engine runs a ContainerEntrypoint that begins with {' or '.join(PYTHONS)} only.")
        if "InstanceType" not in cluster or cluster.get("InstanceCount") != 1:
            raise invalid("The local engine processes on one instance only; ClusterConfig needs its InstanceType.")
        for given in request.get("ProcessingInputs", []):
            source = given.get("S3Input", {})
            if source.get("S3DataType") != "S3Prefix" or source.get("S3InputMode", "File") != "File":
                raise invalid(
                    f"The local engine reads S3Input of S3Prefix in File mode only; see {given['InputName']}."
                )
            _require_path(source)
        for given in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            if given.get("S3Output", {}).get("S3UploadMode") != "EndOfJob":
                raise invalid(f"The local engine writes S3Output at EndOfJob only; see {given['OutputName']}.")
            _require_path(given["S3Output"])

    def _work(self, job: ProcessingJob) -> None:
        root = Path(tempfile.mkdtemp(prefix="processing-"))
        try:
            for each in job.request.get("ProcessingInputs", []):
                self._download(job, each["S3Input"], root)
            (root / "output").mkdir(exist_ok=True)
            outputs = job.request.get("ProcessingOutputConfig", {}).get("Outputs", [])
            for each in outputs:
                _inside(each["S3Output"]["LocalPath"], root).mkdir(parents=True, exist_ok=True)
            try:
                code = _run(job, root)
            finally:
                job.message = _message(root)
            if code != 0:
                raise _Exited(code)
            for each in outputs:
                self._upload(each["S3Output"], root)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def _download(self, job: ProcessingJob, source: dict[str, Any], root: Path) -> None:
        uris = self._store.uris(source["S3Uri"])
        if not uris:
            raise AlgorithmError(f"No S3 objects found under S3 URL {source['S3Uri']}")
        for uri in uris:
            job.check()
            path = _inside(source["LocalPath"], root) / relative_key(uri, source["S3Uri"])
            path.parent.mkdir(parents=True, exist_ok=True)
            self._store.download(uri, path)

    def _upload(self, target: dict[str, Any], root: Path) -> None:
        folder = _inside(target["LocalPath"], root)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._store.upload(path, f"{target['S3Uri'].rstrip('/')}/{path.relative_to(folder).as_posix()}")

    def _reason(self, error: Exception) -> str:
        return f"AlgorithmError: , exit code: {error.code}" if isinstance(error, _Exited) else f"ClientError: {error}"

    def _description(self, job: ProcessingJob) -> dict[str, Any]:
        answer = echoed(job) | self._summary(job)
        if job.started is not None:
            answer["ProcessingStartTime"] = job.started
        return answer

    def _summary(self, job: ProcessingJob) -> dict[str, Any]:
        summary = super()._summary(job)
        told = {"FailureReason": job.failure, "ExitMessage": job.message if job.ended else None}
        return summary | {name: text for name, text in told.items() if text is not None}


class _Exited(AlgorithmError):
    """The process ended with another code than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code: {code}")
        self.code = code


def _require_path(place: dict[str, Any]) -> None:
    path = place.get("LocalPath", "")
    if not path.startswith(DATA) or ".." in path.split("/"):
        raise invalid(f"LocalPath must be an absolute path below {DATA}, not {path!r}.")


def _inside(path: str, root: Path) -> Path:
    return root / path.removeprefix(f"{ROOT}/")


def _inherited() -> dict[str, str]:
    """What a job finds that was not ordered: an account and its endpoints, and what any process needs."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("AWS_", "LC_")) or name in {"HOME", "LANG", "PATH", "TZ", calls.FOLDER}
    }


def _run(job: ProcessingJob, root: Path) -> int:
    """The exit code of the entrypoint. Ended once the job was stopped or ran too long, and the process with it."""
    specification = job.request["AppSpecification"]
    _, *entrypoint = specification["ContainerEntrypoint"]
    if entrypoint[:1] == ["-m"] and calls.installed():
        entrypoint = [str(RECORDED), job.request["RoleArn"].rsplit("/", 1)[-1], *entrypoint[1:]]
    command = [sys.executable, *entrypoint, *specification.get("ContainerArguments", [])]
    own = {name: value.replace(ROOT, str(root)) for name, value in job.request.get("Environment", {}).items()}
    process = subprocess.Popen(
        [word.replace(ROOT, str(root)) for word in command],
        env=_inherited() | {"TMPDIR": str(root)} | own,
        cwd=root,
        stdin=subprocess.DEVNULL,
    )
    try:
        while True:
            job.check()
            try:
                return process.wait(CHECK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    except Ended:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(TERM_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def _message(root: Path) -> str | None:
    path = _inside(MESSAGE, root)
    return path.read_bytes()[:LONGEST_MESSAGE].decode(errors="ignore") if path.is_file() else None
