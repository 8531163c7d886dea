"""Objects of the data bucket: JSON, text and bytes. The Parquet ones are awswrangler's, in datasets.py."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from msgspec import to_builtins

from suspicious_lines.aws import client, error_code
from suspicious_lines.errors import AwsRefusedError, InvalidUploadError
from suspicious_lines.messages import Upload


def open_upload(upload: Upload) -> BinaryIO:
    """The claimed version's bytes as a stream.

    Raises:
        InvalidUploadError: the object or this version of it is gone.
    """
    version = {"VersionId": upload.version_id} if upload.version_id else {}
    try:
        return client("s3").get_object(Bucket=upload.bucket, Key=upload.key, **version)["Body"]
    except ClientError as error:
        if error_code(error) in {"NoSuchKey", "NoSuchVersion", "404"}:
            raise InvalidUploadError(
                upload.key, "the file was deleted before it could be read", "Drop it again."
            ) from error
        raise


def get_bytes(bucket: str, key: str) -> bytes:
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def get_json(bucket: str, key: str) -> Any:
    return json.loads(get_bytes(bucket, key))


def get_with_etag(bucket: str, key: str) -> tuple[bytes, str] | None:
    """An object and its ETag, or None where there is no such object."""
    try:
        answer = client("s3").get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error_code(error) in {"NoSuchKey", "404"}:
            return None
        raise
    return answer["Body"].read(), answer["ETag"]


def exists(bucket: str, key: str) -> bool:
    try:
        client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error_code(error) in {"NoSuchKey", "404"}:
            return False
        raise
    return True


def keys(bucket: str, prefix: str) -> list[str]:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def dropped(bucket: str, prefix: str, since: datetime) -> Iterator[tuple[Upload, datetime]]:
    """Each version below a prefix that is younger than `since` and was not deleted, with the time it was dropped.

    A version that was overwritten is an upload as well.
    """
    versions: list[dict[str, Any]] = []
    deletions: dict[str, datetime] = {}
    for page in client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        versions += [version for version in page.get("Versions", []) if version["LastModified"] > since]
        for marker in page.get("DeleteMarkers", []):
            deletions[marker["Key"]] = max(marker["LastModified"], deletions.get(marker["Key"], since))
    for version in versions:
        key, at = version["Key"], version["LastModified"]
        if version["IsLatest"] or at > deletions.get(key, since):
            etag = version["ETag"].strip('"')
            yield Upload(bucket=bucket, key=key, etag=etag, size=version["Size"], version_id=version["VersionId"]), at


def delete_all(bucket: str, keys: list[str]) -> None:
    """Deletes objects, a thousand a request.

    Raises:
        AwsRefusedError: some of them could not be deleted.
    """
    for start in range(0, len(keys), 1000):
        request = {"Objects": [{"Key": key} for key in keys[start : start + 1000]], "Quiet": True}
        if errors := client("s3").delete_objects(Bucket=bucket, Delete=request).get("Errors"):
            raise AwsRefusedError(f"DeleteObjects: {errors[0]['Code']}: {errors[0]['Key']}")


def delete(bucket: str, key: str) -> None:
    client("s3").delete_object(Bucket=bucket, Key=key)


def put(bucket: str, key: str, body: bytes | str | BinaryIO, content_type: str) -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def copy(source: str, bucket: str, key: str) -> None:
    """Copies an object, whose URI is `source`."""
    place = urlsplit(source)
    copied = {"Bucket": place.netloc, "Key": place.path.lstrip("/")}
    client("s3").copy_object(Bucket=bucket, Key=key, CopySource=copied)


def link(bucket: str, key: str, seconds: int) -> str:
    """A link to an object that anyone who has it can open for `seconds`, or for as long as this function's own
    credentials last."""
    request = {"Bucket": bucket, "Key": key}
    return client("s3").generate_presigned_url("get_object", Params=request, ExpiresIn=seconds)


def put_json(bucket: str, key: str, document: Any) -> None:
    put(bucket, key, json_text(document), "application/json")


def json_text(document: Any) -> str:
    """Of plain data, a Document, or plain data with Documents in it."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=to_builtins) + "\n"


def replace(bucket: str, key: str, body: str, etag: str | None) -> bool:
    """Writes an object only if it is still the version with `etag` (None: only if there is none yet)."""
    condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    try:
        client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition)
    except ClientError as error:
        if error_code(error) in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}:
            return False
        raise
    return True
