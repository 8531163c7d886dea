"""What a processing job runs: `python3 -m suspicious_lines.batch_entrypoint RUN MESSAGE CODE.zip`.

It is imported from the archive as it is, and unpacks it for the compiled modules, which Python imports from files only.
How it failed is written to MESSAGE, which SageMaker shows as the job's ExitMessage.
"""

import json
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path

TRIES = 3  # as a function's state has: an upload's stream can break off
LONGEST_MESSAGE = 800  # bytes, so that SageMaker's 1 KB hold all of what is told


def main(run: str, message: Path, code: str) -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory() as packages:
        with zipfile.ZipFile(code) as archive:
            archive.extractall(packages)
        sys.path.insert(0, packages)
        for tries_left in reversed(range(TRIES)):
            try:
                _work(run)
                break
            except Exception as error:
                named = _named(error)
                if not tries_left or type(named).__name__ != "AwsUnavailableError":
                    _tell(named, message)
                    return 1
    return 0


def _work(run: str) -> None:
    from msgspec import convert

    from suspicious_lines import preprocessing, store
    from suspicious_lines.large_messages import Preprocessed, PreprocessingRequest
    from suspicious_lines.layout import RunFiles
    from suspicious_lines.score_messages import EncodeRequest
    from suspicious_lines.settings import PreprocessSettings
    from suspicious_lines.train_messages import PreprocessRequest

    settings, files = PreprocessSettings.from_environment(), RunFiles(run)
    bucket = settings.data_bucket
    request = convert(store.get_json(bucket, files.preprocessing_job), PreprocessingRequest)
    if request.work == "preprocess":
        dataset = preprocessing.preprocess(
            PreprocessRequest(run=run, upload=request.upload, family=request.family), settings
        )
        answer = Preprocessed(dataset=dataset)
    else:
        wanted = EncodeRequest(run=run, upload=request.upload, family=request.family, gone=request.gone)
        # A transform job has one model: the live one.
        encoded = preprocessing.encode_lines(wanted, settings, on_trial=False)
        answer = convert(encoded, Preprocessed, from_attributes=True)
    store.put_json(bucket, files.parts, answer.dataset.parts)
    store.put_json(bucket, files.preprocessing_answer, answer)


def _named(error: Exception) -> Exception:
    """The error in our vocabulary, where it is boto3's."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    from suspicious_lines.aws import translate

    return translate(error) if isinstance(error, ClientError | BotoCoreError | ResponseParserError) else error


def _tell(error: Exception, message: Path) -> None:
    """Only what is ours is told in words: another message may quote a line, and SageMaker keeps it readable."""
    ours = type(error).__module__ == "suspicious_lines.errors"
    words = str(error).encode()[:LONGEST_MESSAGE].decode(errors="ignore") if ours else ""
    told = {"errorType": type(error).__name__, "errorMessage": words}
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_text(json.dumps(told, ensure_ascii=False))
    # The places and no message, for the same reason.
    print("".join(traceback.format_tb(error.__traceback__)), type(error).__name__, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
