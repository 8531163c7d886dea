"""How good a candidate of a sweep is, on the lines that all its candidates have scored: as models are compared."""

import json

import numpy as np
from msgspec.structs import asdict

from suspicious_lines import datasets, store
from suspicious_lines.aws import client
from suspicious_lines.batch_transform import name_in_job
from suspicious_lines.candidate_messages import CandidateRequest, JudgedCandidate
from suspicious_lines.candidate_settings import CandidateSettings
from suspicious_lines.candidates import PLANTED, VALIDATION, candidate_name, delete_model, parts_of
from suspicious_lines.comparing import Contender, figures_of
from suspicious_lines.errors import ModelResponseError, TransformFailedError
from suspicious_lines.judging import to_scored
from suspicious_lines.layout import RunFiles
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules
from suspicious_lines.thresholds import top
from suspicious_lines.yardstick import read_encoder


def judge_candidate(request: CandidateRequest, settings: CandidateSettings) -> JudgedCandidate:
    """Measures a candidate by what its transform job answered, as CompareModels measures models: by the final score of
    each line, with as many flagged as the run flagged. The candidate's model is deleted then.

    Raises:
        TransformFailedError: the job failed or was stopped.
        ModelResponseError: it did not answer a score for each line.
        SettingsError: the rules' configuration in the bucket is wrong.
    """
    bucket, files = settings.data_bucket, RunFiles(request.model_run)
    name = candidate_name(settings.resource_prefix, request.run, request.candidate)
    job = client("sagemaker").describe_transform_job(TransformJobName=name)
    if job["TransformJobStatus"] != "Completed":
        reason = job.get("FailureReason", "SageMaker gives no reason")
        raise TransformFailedError(f"{name} is {job['TransformJobStatus']}: {reason}")
    encoder, rules = read_encoder(bucket, files), Rules.read(bucket)
    scores = {kind: _scores(bucket, files, name, kind) for kind in (VALIDATION, PLANTED)}
    lines, planted = (
        datasets.read_dataset(bucket, [files.lines(part) for part in parts_of(bucket, files, kind)])
        for kind in (VALIDATION, PLANTED)
    )
    if (len(lines), len(planted)) != (len(scores[VALIDATION]), len(scores[PLANTED])):
        raise ModelResponseError(f"{name} did not answer a score for each line of run {request.model_run}")
    hits = rules.hits(lines, encoder)
    reference = Reference.of(scores[VALIDATION], hits, rules.ranking())
    scored = to_scored(lines.assign(model_score=scores[VALIDATION]), hits, reference)
    contender = Contender(name, scored, reference.score(scores[PLANTED], rules.hits(planted, encoder)))
    flagged = max(store.get_json(bucket, files.result("metrics.json"))["flagged"], 1)
    figures = figures_of(contender, top(scored, flagged))
    delete_model(name)
    return JudgedCandidate(**asdict(request.candidate), **asdict(figures))


def _scores(bucket: str, files: RunFiles, name: str, kind: str) -> np.ndarray:
    """The forest's scores of the lines of a kind, in their order.

    Raises:
        ModelResponseError: an answer is missing, or not one of scores.
    """
    found: list[float] = []
    for part in parts_of(bucket, files, kind):
        answer = store.get_with_etag(bucket, f"{files.transformed(name)}{name_in_job(part, VALIDATION)}.csv.out")
        if answer is None:
            raise ModelResponseError(f"the transform job {name} wrote nothing for {part}")
        try:
            found += [float(json.loads(line)["score"]) for line in answer[0].splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelResponseError(f"the answers of {name} for {part} are not scores") from error
    return np.array(found)
