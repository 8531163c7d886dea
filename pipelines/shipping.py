"""Puts the pipeline where SageMaker runs it: the code into the bucket, the definition into the account."""

import hashlib
import json
import tempfile
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError

from pipelines.definition import Place, definition


def archive(packages: Iterable[Path], to: IO[bytes]) -> None:
    """Writes an archive of what folders of packages hold, and of this package. Equal files make equal archives."""
    here = Path(__file__).parent
    with zipfile.ZipFile(to, "w") as packed:
        for folder, base in [*((folder, folder) for folder in packages), (here, here.parent)]:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    member = zipfile.ZipInfo(path.relative_to(base).as_posix())
                    member.compress_type = zipfile.ZIP_DEFLATED
                    packed.writestr(member, path.read_bytes())


def ship(s3: Any, bucket: str, packages: Iterable[Path]) -> str:
    """The key of the archive, by what it holds. Not below code/, where objects are deleted after a month."""
    with tempfile.TemporaryFile() as file:
        archive(packages, file)
        file.seek(0)
        key = f"pipelines/{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}.zip"
        file.seek(0)
        s3.upload_fileobj(file, bucket, key)
    return key


def upsert(sagemaker: Any, name: str, place: Place) -> str:
    """The ARN of the pipeline, made or brought up to date."""
    request = {"PipelineName": name, "PipelineDefinition": json.dumps(definition(place)), "RoleArn": place.role_arn}
    try:
        sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFound":
            raise
        return sagemaker.create_pipeline(**request, ClientRequestToken=uuid.uuid4().hex)["PipelineArn"]
    return sagemaker.update_pipeline(**request)["PipelineArn"]
