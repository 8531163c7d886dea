"""The answers of a large file's transform job, as scores of its parts."""

import json
from concurrent.futures import ThreadPoolExecutor

from suspicious_lines import store
from suspicious_lines.aws import client
from suspicious_lines.batch_transform import folder_of, name_in_job
from suspicious_lines.errors import ModelResponseError, TransformFailedError
from suspicious_lines.hosting_modes import mode_of
from suspicious_lines.large_messages import FinishTransformRequest, Transformed
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import ScoreRequest
from suspicious_lines.scoring import score_part, write_scores
from suspicious_lines.settings import BucketSettings

AT_ONCE = 8  # parts that are read and written at once


def finish_transform(request: FinishTransformRequest, settings: BucketSettings) -> Transformed:
    """Writes the scores of each part as `score_part` does; the few parts of other kinds (planted and judged lines) are
    scored by the endpoint, as that does, where the model has one.

    Raises:
        TransformFailedError: the job failed or was stopped.
        ModelResponseError: the answers for a part are not the scores of its lines.
        EndpointBusyError, ModelGoneError: as `score_part` does.
    """
    job = client("sagemaker").describe_transform_job(TransformJobName=request.job_name)
    if job["TransformJobStatus"] != "Completed":
        reason = job.get("FailureReason", "SageMaker gives no reason")
        raise TransformFailedError(f"{request.job_name} is {job['TransformJobStatus']}: {reason}")
    bucket, files = settings.data_bucket, RunFiles(request.run)
    folder, has_endpoint = folder_of(request.parts), mode_of(request.endpoint_name).endpoint
    # By the file's name: its documentation leaves open whether SageMaker repeats folders of the input in the output.
    answers = {key.rsplit("/", 1)[1]: key for key in store.keys(bucket, files.transformed(request.job_name))}

    def finish(part: str) -> int:
        if has_endpoint and part.rpartition("/")[0] != folder:
            score = ScoreRequest(run=request.run, part=part, endpoint_name=request.endpoint_name)
            return score_part(score, settings).lines
        return _join(part, answers.get(f"{name_in_job(part, folder)}.csv.out"), files, bucket)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Transformed(lines=sum(pool.map(finish, request.parts)))


def _join(part: str, answer: str | None, files: RunFiles, bucket: str) -> int:
    if answer is None:
        raise ModelResponseError(f"the transform job wrote nothing for {part}")
    try:
        scores = [float(json.loads(line)["score"]) for line in store.get_bytes(bucket, answer).splitlines()]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelResponseError(f"the transform job's answers for {part} are not scores") from error
    write_scores(bucket, files, part, scores)
    return len(scores)
