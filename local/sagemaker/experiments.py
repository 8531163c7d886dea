"""Experiments, their trials, and the components of trials with their metrics.

The components that SageMaker makes of every job by itself are not here.
"""

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.listing import page

MOST_TRIALS, MOST_COMPONENTS = 300, 50
# Members of a component that an update adds to, and how it names those that go.
MAPS = ("Parameters", "InputArtifacts", "OutputArtifacts")
# When a metric may have been measured, in seconds before and after now.
# https://github.com/aws/sagemaker-python-sdk/blob/master-v2/src/sagemaker/experiments/_metrics.py
OLDEST, NEWEST = 14 * 86_400, 2 * 3600


@dataclass
class Entity:
    """An experiment, trial or component: the request that made it as later updates changed it; times are epoch
    seconds."""

    kind: str
    request: dict[str, Any]
    arn: str
    created: float
    modified: float

    @property
    def name(self) -> str:
        return self.request[f"{self.kind}Name"]

    def summary(self) -> dict[str, Any]:
        told = {
            f"{self.kind}Name": self.name,
            f"{self.kind}Arn": self.arn,
            "DisplayName": self.request.get("DisplayName", self.name),
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        if self.kind == "TrialComponent":
            told |= {name: self.request[name] for name in ("Status", "StartTime", "EndTime") if name in self.request}
        return told

    def described(self) -> dict[str, Any]:
        return {name: value for name, value in self.request.items() if name != "Tags"} | self.summary()


@dataclass
class Component(Entity):
    """`metrics`: (time, value) of each, by name; `trials`: names of those that it belongs to, in small letters."""

    metrics: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    trials: set[str] = field(default_factory=set)

    def described(self) -> dict[str, Any]:
        summaries = [_summed_up(name, points, self.arn) for name, points in sorted(self.metrics.items())]
        return super().described() | {"Metrics": summaries}


class Experiments:
    """The operations on experiments, trials and trial components. Names are told apart without regard to case."""

    def __init__(self, region: str, account: str) -> None:
        self._prefix = f"arn:aws:sagemaker:{region}:{account}"
        self._experiments: dict[str, Entity] = {}
        self._trials: dict[str, Entity] = {}
        self._components: dict[str, Component] = {}
        self._lock = threading.RLock()

    # --- Experiments -------------------------------------------------------------------------------------------------
    def create_experiment(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._create(Entity, "Experiment", "experiment", self._experiments, request)

    def describe_experiment(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._experiment(request["ExperimentName"]).described()

    def update_experiment(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return _updated(self._experiment(request["ExperimentName"]), request)

    def delete_experiment(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            experiment = self._experiment(request["ExperimentName"])
            if self._trials_of(experiment.name):
                raise invalid(f"Experiment '{experiment.arn}' has 1 or more trials and cannot be deleted.")
            del self._experiments[experiment.name.lower()]
            return {"ExperimentArn": experiment.arn}

    def list_experiments(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return _page("Experiment", list(self._experiments.values()), request)

    # --- Trials ------------------------------------------------------------------------------------------------------
    def create_trial(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            experiment = self._experiment(request["ExperimentName"])
            count = len(self._trials_of(experiment.name))
            if request["TrialName"].lower() not in self._trials and count >= MOST_TRIALS:
                raise _too_many("trials allowed in a single experiment", MOST_TRIALS, "Trials")
            return self._create(Entity, "Trial", "experiment-trial", self._trials, request)

    def describe_trial(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._trial(request["TrialName"]).described()

    def update_trial(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return _updated(self._trial(request["TrialName"]), request)

    def delete_trial(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            trial = self._trial(request["TrialName"])
            if self._components_of(trial.name):
                raise invalid(f"Trial '{trial.arn}' has 1 or more trial components and cannot be deleted.")
            del self._trials[trial.name.lower()]
            return {"TrialArn": trial.arn}

    def list_trials(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            found = list(self._trials.values())
            if "ExperimentName" in request:
                found = self._trials_of(self._experiment(request["ExperimentName"]).name)
            if "TrialComponentName" in request:
                having = self._component(request["TrialComponentName"]).trials
                found = [trial for trial in found if trial.name.lower() in having]
            return _page("Trial", found, request)

    # --- Components --------------------------------------------------------------------------------------------------
    def create_component(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._create(Component, "TrialComponent", "experiment-trial-component", self._components, request)

    def describe_component(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._component(request["TrialComponentName"]).described()

    def update_component(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            component = self._component(request["TrialComponentName"])
            changes = {name: value for name, value in request.items() if not name.endswith("ToRemove")}
            for name in MAPS:
                merged = component.request.get(name, {}) | request.get(name, {})
                kept = {key: merged[key] for key in merged if key not in request.get(f"{name}ToRemove", [])}
                changes |= {name: kept} if merged else {}
            return _updated(component, changes)

    def delete_component(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            component = self._component(request["TrialComponentName"])
            if component.trials:
                raise invalid(f"TrialComponent '{component.arn}' is linked to 1 or more trials and cannot be deleted.")
            del self._components[component.name.lower()]
            return {"TrialComponentArn": component.arn}

    def list_components(self, request: dict[str, Any]) -> dict[str, Any]:
        if len({"ExperimentName", "TrialName", "SourceArn"} & set(request)) > 1:
            raise invalid("Only one of ExperimentName, TrialName and SourceArn can be given.")
        with self._lock:
            found = list(self._components.values())
            if "TrialName" in request:
                found = self._components_of(self._trial(request["TrialName"]).name)
            if "ExperimentName" in request:
                trials = self._trials_of(self._experiment(request["ExperimentName"]).name)
                names = {trial.name.lower() for trial in trials}
                found = [component for component in found if component.trials & names]
            if "SourceArn" in request:  # of jobs' own components
                found = []
            return _page("TrialComponent", found, request)

    def associate(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            trial, component = self._trial(request["TrialName"]), self._component(request["TrialComponentName"])
            others = [other for other in self._components_of(trial.name) if other is not component]
            if len(others) >= MOST_COMPONENTS:
                raise _too_many("trial components allowed in a single trial", MOST_COMPONENTS, "Trial Components")
            component.trials.add(trial.name.lower())
            return {"TrialArn": trial.arn, "TrialComponentArn": component.arn}

    def disassociate(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            trial, component = self._trial(request["TrialName"]), self._component(request["TrialComponentName"])
            if trial.name.lower() not in component.trials:
                raise _missing(f"'{component.arn}' is not associated with '{trial.arn}'.")
            component.trials.remove(trial.name.lower())
            return {"TrialArn": trial.arn, "TrialComponentArn": component.arn}

    def put_metrics(self, request: dict[str, Any]) -> dict[str, Any]:
        """BatchPutMetrics of the service sagemaker-metrics: what it does not take it lists, and takes the rest."""
        errors, now = [], time.time()
        with self._lock:
            component = self._component(request["TrialComponentName"])
            for place, metric in enumerate(request["MetricData"]):
                when, value = metric["Timestamp"], metric["Value"]
                if not math.isfinite(value) or not now - OLDEST <= when <= now + NEWEST:
                    errors.append({"Code": "VALIDATION_ERROR", "MetricIndex": place})
                else:
                    component.metrics.setdefault(metric["MetricName"], []).append((when, value))
        return {"Errors": errors} if errors else {}

    def _create(
        self, make: Any, kind: str, resource: str, existing: dict[str, Any], request: dict[str, Any]
    ) -> dict[str, Any]:
        name = request[f"{kind}Name"].lower()
        arn = f"{self._prefix}:{resource}/{name}"
        if name in existing:
            raise invalid(f"{kind} '{arn}' already exists.")
        now = round(time.time(), 3)
        existing[name] = make(kind, request, arn, now, now)
        return {f"{kind}Arn": arn}

    def _experiment(self, name: str) -> Entity:
        return self._find("Experiment", "experiment", self._experiments, name)

    def _trial(self, name: str) -> Entity:
        return self._find("Trial", "experiment-trial", self._trials, name)

    def _component(self, name: str) -> Component:
        """By its name or its ARN."""
        return self._find("TrialComponent", "experiment-trial-component", self._components, name.rpartition("/")[2])

    def _find(self, kind: str, resource: str, existing: dict[str, Any], name: str) -> Any:
        if name.lower() not in existing:
            raise _missing(f"{kind} '{self._prefix}:{resource}/{name.lower()}' does not exist.")
        return existing[name.lower()]

    def _trials_of(self, experiment: str) -> list[Entity]:
        return [
            trial for trial in self._trials.values() if trial.request["ExperimentName"].lower() == experiment.lower()
        ]

    def _components_of(self, trial: str) -> list[Component]:
        return [component for component in self._components.values() if trial.lower() in component.trials]


def _updated(entity: Entity, changes: dict[str, Any]) -> dict[str, Any]:
    name = entity.name
    entity.request = entity.request | changes | {f"{entity.kind}Name": name}
    entity.modified = round(time.time(), 3)
    return {f"{entity.kind}Arn": entity.arn}


def _page(kind: str, entities: list[Any], request: dict[str, Any]) -> dict[str, Any]:
    """These lists say CreatedAfter where others say CreationTimeAfter."""
    spelt = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
    given = {spelt.get(name, name): value for name, value in request.items()}
    return page([entity.summary() for entity in entities], given, kind, f"{kind}Summaries", "Descending")


def _summed_up(name: str, points: list[tuple[float, float]], arn: str) -> dict[str, Any]:
    values = [value for _, value in points]
    mean = sum(values) / len(values)
    when, last = max(points, key=lambda point: point[0])
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    told = {"MetricName": name, "SourceArn": arn, "TimeStamp": when, "Count": len(values), "Last": last}
    return told | {"Max": max(values), "Min": min(values), "Avg": mean, "StdDev": spread}


def _missing(message: str) -> ApiError:
    return ApiError("ResourceNotFound", message)


def _too_many(what: str, most: int, unit: str) -> ApiError:
    return ApiError(
        "ResourceLimitExceeded",
        f"The account-level service limit 'Total number of {what}, excluding those automatically created by SageMaker' "
        f"is {most} {unit}, with current utilization of 0 {unit} and a request delta of {most + 1} {unit}.",
    )
