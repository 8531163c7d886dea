"""The engine's view of S3: data under a prefix, artifacts, and a small memory of loaded forests."""

import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError
from krcf import RandomCutForest

from local.sagemaker import forest
from local.sagemaker.errors import DataError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REMEMBERED = 8


class Store:
    """Objects by `s3://bucket/key` URI. Every method raises DataError when S3 does not have what is asked for."""

    def __init__(self, s3: "S3Client") -> None:
        self._s3 = s3
        self._forests: OrderedDict[str, RandomCutForest] = OrderedDict()
        self._lock = threading.Lock()

    def uris(self, prefix: str) -> list[str]:
        """The URIs of all non-empty objects under a prefix, sorted."""
        bucket, key = _split(prefix)
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            found = [each["Key"] for page in pages for each in page.get("Contents", []) if each["Size"]]
        except (BotoCoreError, ClientError) as error:
            raise DataError(str(error)) from error
        return [f"s3://{bucket}/{key}" for key in sorted(found)]

    def manifest(self, uri: str) -> list[str]:
        """The URIs that a manifest lists: `[{"prefix": "s3://bucket/folder/"}, "name", ...]`.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
        """
        try:
            first, *names = json.loads(self.read(uri))
            return [first["prefix"] + name for name in names]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{uri} is not a manifest: {error}") from None

    def read(self, uri: str) -> bytes:
        bucket, key = _split(uri)
        try:
            return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise DataError(str(error)) from error

    def write(self, uri: str, body: bytes) -> None:
        bucket, key = _split(uri)
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body)
        except (BotoCoreError, ClientError) as error:
            raise DataError(str(error)) from error

    def download(self, uri: str, path: Path) -> None:
        bucket, key = _split(uri)
        try:
            self._s3.download_file(bucket, key, str(path))
        except (BotoCoreError, ClientError) as error:
            raise DataError(str(error)) from error

    def upload(self, path: Path, uri: str) -> None:
        bucket, key = _split(uri)
        try:
            self._s3.upload_file(str(path), bucket, key)
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise DataError(str(error)) from error

    def exists(self, uri: str) -> bool:
        bucket, key = _split(uri)
        try:
            self._s3.head_object(Bucket=bucket, Key=key)
        except (BotoCoreError, ClientError):
            return False
        return True

    def forest(self, uri: str) -> RandomCutForest:
        """The forest of an artifact, from memory or else from S3."""
        with self._lock:
            if uri not in self._forests:
                self._forests[uri] = forest.unpack(self.read(uri))
            self._forests.move_to_end(uri)
            while len(self._forests) > REMEMBERED:
                self._forests.popitem(last=False)
            return self._forests[uri]

    def is_loaded(self, uri: str) -> bool:
        """Whether the forest of an artifact is in memory."""
        with self._lock:
            return uri in self._forests

    def forget(self, uri: str | None = None) -> None:
        """Drop one forest, or all, from memory."""
        with self._lock:
            if uri is None:
                self._forests.clear()
            else:
                self._forests.pop(uri, None)


def relative_key(uri: str, prefix: str) -> str:
    """What follows the prefix's folder in a URI found under it; of a prefix that is an object, the object's name."""
    folder = prefix if prefix.endswith("/") or not uri.startswith(f"{prefix}/") else f"{prefix}/"
    return uri.removeprefix(folder[: folder.rindex("/") + 1])


def _split(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme != "s3" or not parts.netloc:
        raise DataError(f"{uri} is not an s3:// URI")
    # urlsplit cuts at "?", which is an ordinary character in a key.
    return parts.netloc, uri.removeprefix(f"s3://{parts.netloc}").removeprefix("/")
