"""What all kinds of jobs share: created at once, run in a thread each, seen by Describe, ended by Stop or a limit."""

import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from local.sagemaker.errors import AlgorithmError, ApiError, DataError, invalid
from local.sagemaker.faults import Faults
from local.sagemaker.listing import page
from local.sagemaker.store import Store

INSTANCE_QUOTA = 20
DEFAULT_RUNTIME = 86_400
LONGEST_REASON = 1024
HANGING_SECONDS = 60  # of a job that was ordered to hang: until it is stopped, or goes on


class Ended(Exception):
    """The job must end here, as stopped; the argument says why: "Stopped" or "MaxRuntimeExceeded"."""


@dataclass
class Job:
    """One job; `request` is the input of its Create operation, times are epoch seconds."""

    request: dict[str, Any]
    arn: str
    created: float
    status: str = "InProgress"
    failure: str | None = None
    started: float | None = None
    ended: float | None = None
    modified: float = 0.0
    stop_requested: threading.Event = field(default_factory=threading.Event)

    @property
    def limit(self) -> float:
        """Seconds that it may run."""
        return self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DEFAULT_RUNTIME)

    def enter(self, secondary: str, message: str | None = None) -> None:
        """A step of its life that Describe may show."""
        self.modified = now()

    def end(self, status: str, secondary: str, failure: str | None = None) -> None:
        """An ended job stays ended."""
        self.enter(secondary, failure)
        self.status, self.ended = status, now()
        self.failure = failure[:LONGEST_REASON] if failure is not None else None

    def check(self) -> None:
        """Called between steps of work: Ended once the job was stopped or ran too long."""
        if self.stop_requested.is_set():
            raise Ended("Stopped")
        if self.started is not None and time.time() - self.started > self.limit:
            raise Ended("MaxRuntimeExceeded")


AnyJob = TypeVar("AnyJob", bound=Job)


class Jobs(Generic[AnyJob]):
    """The four operations on jobs of one kind, `resource` ("TrainingJob"), in words `title` ("training job")."""

    resource: str
    title: str
    default_order = "Ascending"

    def __init__(self, store: Store, faults: Faults, region: str, account: str) -> None:
        self._store, self._faults, self._region, self._account = store, faults, region, account
        self._jobs: dict[str, AnyJob] = {}
        self._lock = threading.RLock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        self._refuse(request)
        name = request[f"{self.resource}Name"]
        kind = self.title.replace(" ", "-")
        arn = f"arn:aws:sagemaker:{self._region}:{self._account}:{kind}/{name.lower()}"
        with self._lock:
            if name in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    f"{self.title.capitalize()} names must be unique within an AWS account and region, "
                    f"and a {self.title} with this name already exists ({arn})",
                )
            self._refuse_over_quota(self._resources(request))
            job = self._jobs[name] = self._new(request, arn)
            job.enter("Starting")
        threading.Thread(target=self._run, args=(job,), name=f"{kind} {name}", daemon=True).start()
        return {f"{self.resource}Arn": arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            return self._description(self._find(request))

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            job = self._find(request)
            if job.status != "InProgress":
                raise invalid(f"The request was rejected because the {self.title} is in status {job.status}.")
            job.status = "Stopping"
            job.enter("Stopping")
            job.stop_requested.set()
        return {}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            summaries = [self._summary(job) for job in self._jobs.values()]
        return page(summaries, request, self.resource, f"{self.resource}Summaries", self.default_order)

    def _new(self, request: dict[str, Any], arn: str) -> AnyJob:
        raise NotImplementedError

    def _refuse(self, request: dict[str, Any]) -> None:
        """ApiError for what SageMaker does not accept in a request, or the local engine does not do."""
        raise NotImplementedError

    def _resources(self, request: dict[str, Any]) -> dict[str, Any]:
        """Its InstanceType and InstanceCount."""
        raise NotImplementedError

    def _work(self, job: AnyJob) -> None:
        """Do the job; AlgorithmError or DataError fail it."""
        raise NotImplementedError

    def _description(self, job: AnyJob) -> dict[str, Any]:
        """What Describe answers."""
        raise NotImplementedError

    def _reason(self, error: Exception) -> str:
        """The FailureReason of a job whose data or code is at fault."""
        return f"ClientError: {error}"

    def _find(self, request: dict[str, Any]) -> AnyJob:
        name = request[f"{self.resource}Name"]
        if name not in self._jobs:
            raise self._unknown(name)
        return self._jobs[name]

    def _unknown(self, name: str) -> ApiError:
        return invalid(f"Could not find requested job with name: {name}")

    def _refuse_over_quota(self, resources: dict[str, Any]) -> None:
        running = (self._resources(job.request) for job in self._jobs.values() if job.ended is None)
        used = sum(each["InstanceCount"] for each in running)
        if used + resources["InstanceCount"] > INSTANCE_QUOTA:
            raise ApiError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{resources['InstanceType']} for {self.title} usage' is "
                f"{INSTANCE_QUOTA} Instances, with current utilization of {used} Instances and a request delta of "
                f"{resources['InstanceCount']} Instances. "
                "Please contact AWS support to request an increase for this limit.",
            )

    def _run(self, job: AnyJob) -> None:
        try:
            job.started = now()
            fault = self._faults.take(self.resource)
            if fault and fault.error == "Hanging":
                job.stop_requested.wait(HANGING_SECONDS)
                job.check()
            elif fault:
                self._finish(job, "Failed", "Failed", fault.message)
                return
            self._work(job)
            self._finish(job, "Completed", "Completed")
        except Ended as ended:
            self._finish(job, "Stopped", str(ended))
        except (AlgorithmError, DataError) as error:
            self._finish(job, "Failed", "Failed", self._reason(error))
        except Exception:  # a job must end, whatever went wrong in it
            traceback.print_exc()
            reason = "InternalServerError: We encountered an internal error. Please try again."
            self._finish(job, "Failed", "Failed", reason)

    def _finish(self, job: AnyJob, status: str, secondary: str, failure: str | None = None) -> None:
        with self._lock:
            if job.stop_requested.is_set() and status == "Completed":
                status = secondary = "Stopped"  # a stop during the upload still wins
            job.end(status, secondary, failure)

    def _summary(self, job: AnyJob) -> dict[str, Any]:
        summary = {
            f"{self.resource}Name": job.request[f"{self.resource}Name"],
            f"{self.resource}Arn": job.arn,
            "CreationTime": job.created,
            "LastModifiedTime": job.ended or job.modified,
            f"{self.resource}Status": job.status,
        }
        return summary if job.ended is None else summary | {f"{self.resource.removesuffix('Job')}EndTime": job.ended}


def echoed(job: Job) -> dict[str, Any]:
    """The members of the request that its Describe shows."""
    return {name: value for name, value in job.request.items() if name not in ("Tags", "SessionChainingConfig")}


def now() -> float:
    return round(time.time(), 3)
