"""The job itself, run in this process on moto's S3, and what is made of its end."""

import json
import zipfile

import msgspec
import pytest
from botocore.exceptions import IncompleteReadError

from frames import BUCKET, lines_frame
from suspicious_lines import batch_entrypoint, batch_preprocessing, store
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import AwsRefusedError, InvalidUploadError, PreprocessingFailedError, SettingsError
from suspicious_lines.large_messages import FinishPreprocessingRequest
from suspicious_lines.layout import resource_name
from suspicious_lines.lines import COLUMNS, FIELDS
from suspicious_lines.messages import Upload
from suspicious_lines.settings import BucketSettings


@pytest.fixture
def asked(cloud):
    """Drops a file and notes what the job is to do with it."""

    def ask(body: bytes, work: str = "preprocess") -> None:
        version = cloud.s3.put_object(Bucket=BUCKET, Key="incoming/x.csv", Body=body)["VersionId"]
        upload = Upload(bucket=BUCKET, key="incoming/x.csv", etag="e", size=len(body), version_id=version)
        note = {"run": "run", "upload": msgspec.to_builtins(upload), "work": work, "gone": "", "job_name": "job"}
        store.put_json(BUCKET, "runs/run/preprocessing/request.json", note)

    return ask


@pytest.fixture
def run_job(tmp_path):
    """Exit code and ExitMessage of the job."""
    code = tmp_path / "code.zip"
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("README", "")

    def run() -> tuple[int, str]:
        message = tmp_path / "output" / "message"
        ended_as = batch_entrypoint.main("run", message, str(code))
        return ended_as, message.read_text() if message.exists() else ""

    return run


def ended(monkeypatch, **job):
    class SageMaker:
        def describe_processing_job(self, ProcessingJobName):
            return {"ProcessingJobName": ProcessingJobName} | job

    monkeypatch.setattr(batch_preprocessing, "client", lambda name: SageMaker())


def test_the_job_answers_as_the_function_does(cloud, asked, run_job, load_handler, context, monkeypatch):
    frame = lines_frame(200)
    asked(frame[list(FIELDS.values())].set_axis(COLUMNS, axis=1).to_csv(index=False).encode())
    assert run_job() == (0, "")
    ended(monkeypatch, ProcessingJobStatus="Completed")
    answer = load_handler("finish_preprocessing")({"run": "run", "job_name": "job"}, context)
    upload = store.get_json(BUCKET, "runs/run/preprocessing/request.json")["upload"]
    assert answer["dataset"] == load_handler("preprocess")({"run": "other", "upload": upload}, context)
    assert (answer["model"], answer["model_age_days"]) == (None, None)
    assert store.get_json(BUCKET, "runs/run/parts.json") == answer["dataset"]["parts"]


def test_a_bad_file_is_told_in_words(asked, run_job, monkeypatch):
    asked(b"\x89PNG\r\n\x1a\n" + bytes(200))
    code, message = run_job()
    assert code == 1
    told = "incoming/x.csv, line 1: the file is a PNG picture"
    assert json.loads(message)["errorMessage"].startswith(told)
    ended(monkeypatch, ProcessingJobStatus="Failed", ExitMessage=message)
    with pytest.raises(InvalidUploadError, match=told):
        finish()


def test_what_is_not_ours_is_told_by_its_name_only(asked, run_job, monkeypatch):
    def broken(*_):
        raise ValueError("Specimen LLP")

    asked(b"")
    monkeypatch.setattr("suspicious_lines.preprocessing.preprocess", broken)
    assert json.loads(run_job()[1]) == {"errorType": "ValueError", "errorMessage": ""}


@pytest.mark.parametrize(("breaks", "ended_as"), [(2, 0), (3, 1)])
def test_a_stream_that_breaks_off_is_read_again_three_times_in_all(run_job, monkeypatch, breaks, ended_as):
    tries = []

    def breaking(run: str) -> None:
        tries.append(run)
        if len(tries) <= breaks:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=2)

    monkeypatch.setattr(batch_entrypoint, "_work", breaking)
    code, told = run_job()
    assert (code, len(tries), "AwsUnavailableError" in told) == (ended_as, 3, ended_as == 1)


@pytest.fixture
def on_trial(cloud, asked):
    """A model that takes half of the invoices from the live one, which has this endpoint, and a file to encode."""

    def begin(endpoint_name: str) -> None:
        frame, used = lines_frame(200), {"max_concurrency": 5, "threshold": 2.0}
        asked(frame[list(FIELDS.values())].set_axis(COLUMNS, axis=1).to_csv(index=False).encode(), "encode_lines")
        for run in ("live", "new"):
            store.put(BUCKET, f"runs/{run}/encoder.json", Encoder.fit(frame).to_json(), "application/json")
        trial = {"run": "new", "endpoint_name": "e", "trial": "t", "kind": "ab", "share": 50, "began_at": ""} | used
        live = {"run": "live", "endpoint_name": endpoint_name, "encoder_key": "runs/live/encoder.json"} | used
        live |= {"promoted_at": "2026-11-01T00:00:00+00:00", "challenger": trial}
        store.put_json(BUCKET, "models/current.json", live)

    return begin


def kinds_of(parts: list[str]) -> set[str]:
    return {part.partition("/")[0] for part in parts}


def test_a_job_encodes_all_lines_for_the_live_model_whoever_is_on_trial(on_trial, run_job):
    on_trial("endpoint")
    assert run_job() == (0, "")
    assert kinds_of(store.get_json(BUCKET, "runs/run/parts.json")) == {"invoices"}


@pytest.mark.parametrize(("mark", "kinds"), [("", {"invoices", "challenger"}), ("bt", {"invoices"})])
def test_a_share_of_the_invoices_is_taken_only_from_a_model_with_an_endpoint(
    on_trial, load_handler, context, mark, kinds
):
    on_trial(resource_name("suspicious-lines", "live", mark=mark))
    upload = store.get_json(BUCKET, "runs/run/preprocessing/request.json")["upload"]
    encoded = load_handler("encode_lines")({"run": "run", "upload": upload, "gone": ""}, context)
    assert kinds_of(encoded["dataset"]["parts"]) == kinds, "a transform job scores all parts of a run by one model"


def test_a_call_that_aws_refused_is_told_as_a_function_tells_it(cloud, asked, run_job):
    asked(b"")
    cloud.s3.put_object(Bucket=BUCKET, Key="config/rules.json", Body=b"{}")
    note = store.get_json(BUCKET, "runs/run/preprocessing/request.json")
    store.put_json(
        BUCKET, "runs/run/preprocessing/request.json", note | {"upload": note["upload"] | {"bucket": "none"}}
    )
    assert json.loads(run_job()[1])["errorType"] in {"AwsRefusedError", "SettingsError"}


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"ExitMessage": '{"errorType": "SettingsError", "errorMessage": "why"}'}, SettingsError),
        ({"ExitMessage": '{"errorType": "AwsRefusedError", "errorMessage": "why"}'}, AwsRefusedError),
        ({"ExitMessage": '{"errorType": "AwsUnavailableError", "errorMessage": "why"}'}, PreprocessingFailedError),
        ({"ExitMessage": "why", "FailureReason": "AlgorithmError: why"}, PreprocessingFailedError),
        ({"FailureReason": "InternalServerError: why"}, PreprocessingFailedError),
    ],
)
def test_how_a_job_ended_is_an_error_of_ours(monkeypatch, told, error):
    ended(monkeypatch, ProcessingJobStatus="Failed", **told)
    with pytest.raises(error, match="why"):
        finish()


def test_a_stopped_job_has_failed_too(monkeypatch):
    ended(monkeypatch, ProcessingJobStatus="Stopped")
    with pytest.raises(PreprocessingFailedError, match="job is Stopped: SageMaker gives no reason"):
        finish()


def finish():
    request = FinishPreprocessingRequest(run="run", job_name="job")
    return batch_preprocessing.finish_preprocessing(request, BucketSettings.from_environment())
