"""Data capture: what went in and out of a sample of invocations, as JSON Lines in S3.

Layout and records are those of
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html, but that SageMaker gathers
several invocations in an object and writes it within minutes; here each is written at once.
"""

import base64
import json
import random
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from local.sagemaker.errors import invalid
from local.sagemaker.store import Store

S3_PLACE = re.compile(r"s3://[a-z0-9.-]{3,63}(/.*)?")


def check_capture(request: dict[str, Any]) -> None:
    """Refuse a DataCaptureConfig that SageMaker refuses. Raises ApiError."""
    config = request.get("DataCaptureConfig")
    if config is None:
        return
    if not S3_PLACE.fullmatch(config["DestinationS3Uri"]):
        raise invalid(f"DataCaptureConfig.DestinationS3Uri {config['DestinationS3Uri']} is not an s3:// URI.")
    modes = [option["CaptureMode"] for option in config["CaptureOptions"]]
    if len(set(modes)) != len(modes):
        raise invalid("DataCaptureConfig.CaptureOptions names a CaptureMode twice.")


class Capture:
    """The capture of one endpoint as its configuration says; `config` is None where nothing is captured."""

    def __init__(self, config: dict[str, Any] | None, store: Store) -> None:
        self._config = config if config and config.get("EnableCapture", True) else None
        self._store = store

    def sampled(self) -> bool:
        """Whether an invocation is in the sample."""
        return self._config is not None and random.random() * 100 < self._config["InitialSamplingPercentage"]  # noqa: S311

    def write(
        self,
        endpoint: str,
        variant: str,
        request: tuple[str, bytes],
        answer: tuple[str, bytes],
        inference_id: str | None,
    ) -> None:
        """Both are content type and body. DataError when S3 refuses."""
        assert self._config is not None
        modes = {option["CaptureMode"] for option in self._config["CaptureOptions"]}
        data = {}
        for name, mode, (content_type, body) in (("Input", "INPUT", request), ("Output", "OUTPUT", answer)):
            if modes & {name, "InputAndOutput"}:
                text, encoding = self._encoded(content_type, body)
                data[f"endpoint{name}"] = {
                    "observedContentType": content_type,
                    "mode": mode,
                    "data": text,
                    "encoding": encoding,
                }
        now, event = datetime.now(UTC), str(uuid.uuid4())
        metadata = {"eventId": event, "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        if inference_id is not None:
            metadata["inferenceId"] = inference_id
        record = {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}
        folder = f"{self._config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}/{now:%Y/%m/%d/%H}"
        body = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        self._store.write(f"{folder}/{now:%M-%S}-{now.microsecond // 1000:03d}-{event}.jsonl", body)

    def _encoded(self, content_type: str, body: bytes) -> tuple[str, str]:
        """The text and its encoding: base64 but for the types that CaptureContentTypeHeader names."""
        assert self._config is not None
        readable = self._config.get("CaptureContentTypeHeader", {})
        for encoding, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
            if content_type in readable.get(member, []):
                return body.decode("utf-8", "replace"), encoding
        return base64.b64encode(body).decode(), "BASE64"

    def summary(self) -> dict[str, Any] | None:
        """DescribeEndpoint's DataCaptureConfig; None where there is none."""
        if self._config is None:
            return None
        return {
            "EnableCapture": True,
            "CaptureStatus": "Started",
            "CurrentSamplingPercentage": self._config["InitialSamplingPercentage"],
            "DestinationS3Uri": self._config["DestinationS3Uri"],
            "KmsKeyId": self._config.get("KmsKeyId", ""),
        }
