"""Batch Transform: the objects under an S3 prefix through a model, one `.out` object for each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.sagemaker import forest
from local.sagemaker.errors import AlgorithmError, DataError, invalid
from local.sagemaker.faults import Faults
from local.sagemaker.images import require_cpu
from local.sagemaker.jobs import Job, Jobs, echoed, now
from local.sagemaker.models import Models
from local.sagemaker.runtime import ACCEPTED, READERS, encode, media_type
from local.sagemaker.store import Store, relative_key

DEFAULT_PAYLOAD_MB = 6
MOST_PAYLOAD_MB = 100  # of MaxPayloadInMB times MaxConcurrentTransforms
JSON_LINES = "application/jsonlines"


@dataclass
class TransformJob(Job):
    """`artifact`: of its model, found when the job was accepted; deleting the model later changes nothing."""

    artifact: str = ""


class TransformJobs(Jobs[TransformJob]):
    """The four operations on transform jobs."""

    resource, title, default_order = "TransformJob", "transform job", "Descending"

    def __init__(self, models: Models, store: Store, faults: Faults, region: str, account: str) -> None:
        super().__init__(store, faults, region, account)
        self._models = models

    def _new(self, request: dict[str, Any], arn: str) -> TransformJob:
        return TransformJob(request, arn, now(), artifact=self._models.container(request["ModelName"])["ModelDataUrl"])

    def _resources(self, request: dict[str, Any]) -> dict[str, Any]:
        return request["TransformResources"]

    def _refuse(self, request: dict[str, Any]) -> None:
        if self._models.container(request["ModelName"]).get("Mode") == "MultiModel":
            raise invalid("Batch Transform does not support multi-model containers.")
        require_cpu(request["TransformResources"]["InstanceType"])
        source, output = request["TransformInput"], request["TransformOutput"]
        if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
            raise invalid("The local engine transforms S3Prefix data only.")
        if source.get("CompressionType", "None") != "None" or source.get("SplitType", "None") not in ("None", "Line"):
            raise invalid("The local engine transforms uncompressed data with the SplitType None or Line only.")
        if "BatchStrategy" in request and source.get("SplitType", "None") == "None":
            raise invalid("BatchStrategy can be given only with a SplitType other than None.")
        payload = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)
        if payload * max(1, request.get("MaxConcurrentTransforms", 1)) > MOST_PAYLOAD_MB:
            raise invalid(f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {MOST_PAYLOAD_MB} MB.")
        processing = request.get("DataProcessing", {})
        if "InputFilter" in processing or "OutputFilter" in processing:
            raise invalid("The local engine does not filter what goes in or comes out: DataProcessing.JoinSource only.")
        if processing.get("JoinSource", "None") == "Input":
            _refuse_join(source, output)

    def _work(self, job: TransformJob) -> None:
        request = job.request
        source, output = request["TransformInput"], request["TransformOutput"]
        content_type = media_type(source.get("ContentType"), "application/octet-stream")
        accept = media_type(output.get("Accept"), "application/json")
        if content_type not in READERS:
            raise _refused(f"Content-type {content_type} not supported; supported: {', '.join(READERS)}")
        if accept not in ACCEPTED:
            raise _refused(f"Accept type {accept} not supported; supported: {', '.join(ACCEPTED)}")
        if request.get("MaxPayloadInMB") == 0:
            raise _refused("built-in algorithms take no chunked payloads, which MaxPayloadInMB 0 asks for")
        model = self._store.forest(job.artifact)
        prefix = source["DataSource"]["S3DataSource"]["S3Uri"]
        uris = self._store.uris(prefix)
        if not uris:
            raise AlgorithmError(f"No S3 objects found under S3 URL {prefix}")
        folder, joined = output["S3OutputPath"].rstrip("/"), request.get("DataProcessing", {}).get("JoinSource")
        answers = {}
        for uri in uris:
            parts = []
            try:
                for payload in _payloads(self._store.read(uri), request):
                    answer = encode(forest.score(model, READERS[content_type](payload), job.check), accept)
                    parts.append(_join(payload, answer) if joined == "Input" else answer)
            except DataError as error:
                raise _refused(f"{uri}: {error}") from None
            if output.get("AssembleWith") == "Line":
                parts = [part if part.endswith(b"\n") else part + b"\n" for part in parts]
            answers[f"{folder}/{relative_key(uri, prefix)}.out"] = b"".join(parts)
        # Of a job that was stopped or failed, nothing is stored.
        job.check()
        for uri, answer in answers.items():
            self._store.write(uri, answer)

    def _description(self, job: TransformJob) -> dict[str, Any]:
        answer = echoed(job) | self._summary(job)
        del answer["LastModifiedTime"]
        if job.started is not None:
            answer["TransformStartTime"] = job.started
        return answer

    def _summary(self, job: TransformJob) -> dict[str, Any]:
        summary = super()._summary(job)
        return summary if job.failure is None else summary | {"FailureReason": job.failure}


def _refuse_join(source: dict[str, Any], output: dict[str, Any]) -> None:
    """Input joins output of the same format only; the forest answers no CSV, so CSV cannot be joined at all."""
    content_type, accept = media_type(source.get("ContentType"), ""), media_type(output.get("Accept"), "")
    if content_type != accept:
        raise invalid(
            "JoinSource Input needs the same format in ContentType and Accept, "
            f"not {content_type or 'none'} and {accept or 'none'}."
        )
    if content_type != JSON_LINES or source.get("SplitType") != "Line" or output.get("AssembleWith") != "Line":
        raise invalid(f"The local engine joins {JSON_LINES} with SplitType and AssembleWith Line only.")


def _payloads(body: bytes, request: dict[str, Any]) -> Iterator[bytes]:
    """The requests that an object is cut into, in order. AlgorithmError when a record, or without a SplitType the
    object, is larger than MaxPayloadInMB."""
    most = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB) * 1024 * 1024
    whole = request["TransformInput"].get("SplitType", "None") == "None"
    records = [body] if whole else [line for line in body.splitlines(keepends=True) if line.strip()]
    single = request.get("BatchStrategy", "MultiRecord") == "SingleRecord"
    batch: list[bytes] = []
    size = 0
    for record in records:
        if len(record) > most:
            raise AlgorithmError("Too much data for max payload size")
        if batch and (single or size + len(record) > most):
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield b"".join(batch)


def _join(payload: bytes, answer: bytes) -> bytes:
    """Each record with its answer under SageMakerOutput, JSON Lines both."""
    pairs = zip(payload.splitlines(), answer.splitlines(), strict=True)
    joined = [json.loads(record) | {"SageMakerOutput": json.loads(found)} for record, found in pairs]
    return "".join(json.dumps(each) + "\n" for each in joined).encode()


def _refused(reason: str) -> AlgorithmError:
    """SageMaker's reason says no more than its first sentence."""
    return AlgorithmError(f"See job logs for more information. ({reason})")
