"""The end of a sweep: a winner is chosen, or what still runs is stopped; the operators are told either way."""

import contextlib
import json
from typing import Any

import msgspec
from msgspec.structs import asdict

from suspicious_lines import store
from suspicious_lines.candidate_messages import (
    Candidate,
    ChooseRequest,
    Chosen,
    EndedSweep,
    JudgedCandidate,
    SweepOrder,
)
from suspicious_lines.candidate_settings import SweepEndSettings
from suspicious_lines.candidates import candidate_name, delete_model, size_of
from suspicious_lines.jobs import TRAINING, TRANSFORM, stop
from suspicious_lines.layout import RunFiles
from suspicious_lines.messages import FailureReport
from suspicious_lines.notifications import Note, publish

BY_LABELS, BY_PLANTED = "average precision", "planted errors caught"


def choose_candidate(request: ChooseRequest, settings: SweepEndSettings) -> Chosen:
    """Writes sweep.json and tells the operators which candidate is the best. It is not deployed: the stack's parameters
    decide what is trained, and a person decides on them."""
    bucket, plan, files = settings.data_bucket, request.plan, RunFiles(request.plan.model_run)
    by, winner = best(request.judged)
    own = store.get_json(bucket, files.result("metrics.json"))["average_precision"]
    document = {
        "sweep": request.run,
        "run": plan.model_run,
        "by": by,
        "candidates": [asdict(judged) for judged in request.judged],
        "winner": asdict(winner),
        "own": asdict(plan.own) | {"average_precision": own},
        "estimated_cost": plan.estimated_cost,
    }
    key = files.sweep(request.run, "sweep.json")
    store.put_json(bucket, key, document)
    subject = f"Sweep: {winner.num_trees} trees of {winner.num_samples_per_tree} samples"
    text = _told(document, winner, plan.own, f"s3://{bucket}/{key}")
    publish(Note(bucket, request.run, "sweep"), settings.operators_topic_arn, subject, text)
    return Chosen(winner=winner)


def best(judged: list[JudgedCandidate]) -> tuple[str, JudgedCandidate]:
    """By what, and which: by average precision where lines have labels, else by the planted errors that are caught. Of
    equally good ones the smallest forest."""
    labelled = all(candidate.average_precision is not None for candidate in judged)

    def rank(candidate: JudgedCandidate) -> tuple[float, int, int]:
        figure = candidate.average_precision if labelled else candidate.caught
        return -(figure or 0.0), size_of(candidate), candidate.num_trees

    return BY_LABELS if labelled else BY_PLANTED, min(judged, key=rank)


def _told(document: dict[str, Any], winner: JudgedCandidate, own: Candidate, place: str) -> str:
    """Figures of forests differ by chance as well: the run's own are beside them."""
    lines = [
        f"* {each['num_trees']:>4} trees of {each['num_samples_per_tree']:>4} samples: average precision "
        f"{_figure(each['average_precision'])}, {each['caught']:.1%} of the planted errors caught"
        for each in document["candidates"]
    ]
    own_figure = document["own"]["average_precision"]
    if winner.average_precision is not None and own_figure is not None and winner.average_precision <= own_figure:
        advice = ["None is better than the run's own forest: leave NumTrees and NumSamplesPerTree as they are."]
    else:
        advice = [
            "Nothing was deployed. To train such forests from now on, set",
            "",
            f"NumTrees={winner.num_trees} NumSamplesPerTree={winner.num_samples_per_tree}",
            "",
            "Two trainings with the same numbers differ a little, too: try again what is close.",
        ]
    return "\n".join(
        [
            f"{len(lines)} forests were trained on the lines of run {document['run']},",
            f"and compared by {document['by']}:",
            "",
            *lines,
            "",
            f"The run's own forest: {own.num_trees} trees of {own.num_samples_per_tree} samples, average precision "
            f"{_figure(own_figure)}.",
            "",
            *advice,
            "",
            f"Figures: {place}",
            "",
        ]
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def end_sweep(report: FailureReport, settings: SweepEndSettings) -> EndedSweep:
    """Stops and deletes what a sweep that failed, timed out or was stopped has left, and tells the operators once."""
    error = report.error or report.status
    cause = report.cause or f"The execution ended as {report.status}."
    with contextlib.suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]
    stopped = []
    if order := _order(report):
        # First, so that a job that is started this moment is either found here or taken back by who starts it.
        ended = {"error": error, "cause": cause}
        store.put_json(settings.data_bucket, RunFiles(order.run).sweep(report.run, "ended.json"), ended)
        for candidate in order.grid():
            name = candidate_name(settings.resource_prefix, report.run, candidate)
            stopped += [f"{title} {name}" for kind in (TRAINING, TRANSFORM) for title in stop(kind, name)]
            stopped += [f"model {name}"] * delete_model(name)
    text = [
        f"Sweep {report.run} ended as {report.status}.",
        "",
        f"Error: {error}",
        f"Cause: {cause}",
        f"Cleaned up: {', '.join(stopped) or 'nothing was left'}.",
        "",
        f"Execution: {report.execution_arn}",
        "",
    ]
    note = Note(settings.data_bucket, report.run, "sweep-failed")
    publish(note, settings.operators_topic_arn, f"Sweep failed: {error}", "\n".join(text))
    return EndedSweep(error=error, cause=cause, stopped=stopped)


def _order(report: FailureReport) -> SweepOrder | None:
    """What the sweep was started with; None where that is no order, so that nothing was made."""
    try:
        return msgspec.json.decode(report.input or "", type=SweepOrder)
    except ValueError:
        return None
