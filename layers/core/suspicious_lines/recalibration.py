"""Moves the live threshold by what reviewers said: one conditional write, once a review run."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from suspicious_lines import store
from suspicious_lines.errors import NoLiveModelError
from suspicious_lines.layout import RunFiles
from suspicious_lines.learning import Precision, Recalibration, better_threshold, flagged_by, since_last_change
from suspicious_lines.model_messages import LiveModel, ModelChange
from suspicious_lines.promotion import LISTED, change_live_model

if TYPE_CHECKING:
    import pandas as pd


def recalibrate(
    bucket: str, review_run: str, judged: "pd.DataFrame", floor: float, fewest: int, family: str = ""
) -> tuple[LiveModel | None, Recalibration | None]:
    """The live model of a family, or of none, afterwards, and its move where these verdicts moved it, by this try or an
    earlier one.

    `judged`: labels of all runs. None where no model is live.

    Raises:
        AwsUnavailableError: others kept changing the live model meanwhile.
    """
    done: Recalibration | None = None

    def recalibrated(live: LiveModel | None) -> LiveModel:
        nonlocal done
        if live is None:
            raise NoLiveModelError("no model is live")
        done, changed = _recalibrated(live, bucket, review_run, judged, floor, fewest)
        return changed

    try:
        return change_live_model(bucket, recalibrated, family), done
    except NoLiveModelError:
        return None, None


def _recalibrated(
    live: LiveModel, bucket: str, review_run: str, judged: "pd.DataFrame", floor: float, fewest: int
) -> tuple[Recalibration | None, LiveModel]:
    trained = store.get_json(bucket, RunFiles(live.run).result("metrics.json"))["threshold"]["value"]
    if earlier := next((change for change in live.history if change.review_run == review_run), None):
        return _told(live, earlier, trained), live
    evidence = since_last_change(flagged_by(judged, live), live)
    is_error = evidence["is_error"].to_numpy(bool)
    value = better_threshold(evidence["score"].to_numpy(), is_error, live.threshold, trained, floor, fewest)
    if value == live.threshold:
        return None, live
    change = _change(live, review_run, value, Precision.of(is_error), floor)
    moved = replace(live, threshold=value, history=[change, *live.history][:LISTED])
    return Recalibration(model_run=live.run, before=live.threshold, after=value, reason=change.reason), moved


def _change(live: LiveModel, review_run: str, value: float, found: Precision, floor: float) -> ModelChange:
    low, high = found.interval
    reason = (
        f"{found.queried} of {found.judged} judged lines were errors ({low:.0%} to {high:.0%}), asked for are "
        f"{floor:.0%}: from {live.threshold:.4f} to {value:.4f}"
    )
    return ModelChange(
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        what="recalibrated",
        run=live.run,
        threshold=value,
        reason=reason,
        review_run=review_run,
    )


def _told(live: LiveModel, done: ModelChange, trained: float) -> Recalibration:
    """The move that an earlier try made: before it stood what the change before left, or training."""
    earlier = live.history[live.history.index(done) + 1 :]
    before = earlier[0].threshold if earlier else trained
    return Recalibration(model_run=done.run, before=before, after=done.threshold, reason=done.reason)
