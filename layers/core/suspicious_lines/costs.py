"""What a run cost, estimated from a dated price table: prices.json."""

import functools
import json
from pathlib import Path
from typing import Any

from suspicious_lines.documents import Document

# States that wait or poll; all the others run a function.
_NO_FUNCTION = ("WaitFor", "Describe", "Is", "How", "ScoreParts", "ScoreChampionParts")
_SCORING = ("ScoreLines", "ScoreChampionLines")
_LAMBDA_GB = 2.0


class Cost(Document):
    """An estimate: Lambda as if every function had 2 GB for the whole of its state (an upper bound), inference for the
    time of its calls, on instances as if one had taken them all. Left out: what instances and provisioned concurrency
    cost while nobody calls, storage, requests and e-mail (below a cent a run), and the calls and transitions in the
    executions of a Distributed Map. `batch`: the processing and transform jobs of a large file. It, `training` and
    `inference` are null where the price table does not know the instance type."""

    currency: str
    region: str
    as_of: str
    functions: float
    state_machine: float
    training: float | None
    batch: float | None = 0.0  # receipts of former versions know none
    inference: float | None
    total: float


@functools.cache
def prices() -> dict[str, Any]:
    """US dollars: for one of what each name ends in, `training_hour` and `hosting_hour` by instance type."""
    return json.loads(Path(__file__).with_name("prices.json").read_text())


def estimate(
    states: dict[str, float],
    transitions: int,
    training_seconds: int,
    instance_type: str,
    inference_second: float | None,
    batch_seconds: float,
    batch_instance_type: str,
) -> Cost:
    """`states`: seconds by state; `training_seconds` and `batch_seconds`: billable, of SageMaker's jobs;
    `inference_second`: what a second of scoring costs, see there."""
    known = prices()
    in_functions = sum(seconds for name, seconds in states.items() if not name.startswith(_NO_FUNCTION))
    training = job_cost(training_seconds, instance_type)
    batch = job_cost(batch_seconds, batch_instance_type)
    scoring = sum(states.get(name, 0.0) for name in _SCORING)
    inference = 0.0 if not scoring else None if inference_second is None else scoring * inference_second
    parts = {
        "functions": in_functions * _LAMBDA_GB * known["lambda_gb_second"],
        "state_machine": transitions * known["step_functions_transition"],
    }
    return Cost(
        currency=known["currency"],
        region=known["region"],
        as_of=known["as_of"],
        training=None if training is None else round(training, 6),
        batch=None if batch is None else round(batch, 6),
        inference=None if inference is None else round(inference, 6),
        total=round(sum(parts.values()) + (training or 0) + (batch or 0) + (inference or 0), 6),
        **{name: round(cost, 6) for name, cost in parts.items()},
    )


def inference_second(mode: str, memory_mb: int, instance_type: str) -> float | None:
    """What a second of scoring costs in a hosting mode; null where the price table does not know the instance type."""
    if mode in {"serverless", "provisioned"}:
        return memory_mb / 1024 * prices()["serverless_inference_gb_second"]
    hourly = prices()["hosting_hour"].get(instance_type)
    return None if hourly is None else hourly / 3600


def job_cost(seconds: float, instance_type: str) -> float | None:
    """SageMaker bills training, processing and transform jobs alike, by the instance's time."""
    if not seconds:
        return 0.0
    hourly = prices()["training_hour"].get(instance_type)
    return None if hourly is None else seconds / 3600 * hourly
