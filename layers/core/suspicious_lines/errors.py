"""The vocabulary of failures: the names of these classes are what the state machine retries and catches."""

from suspicious_lines.text import plain_text


class InvalidUploadError(Exception):
    """The dropped file cannot be used; only whoever drops it can help, so it is never retried.

    The message names the file, the line, the column where there is one, and the remedy. It never quotes the file.
    """

    def __init__(self, key: str, reason: str, remedy: str, line: int = 1, column: str | None = None) -> None:
        self.line = line
        self.column = column
        where = f"{plain_text(key)}, line {line}" + (f", column {column}" if column else "")
        super().__init__(f"{where}: {reason}. {remedy}")

    @classmethod
    def told(cls, message: str) -> "InvalidUploadError":
        """One that was raised elsewhere, from its message."""
        error = cls.__new__(cls)
        Exception.__init__(error, message)
        return error


class SettingsError(Exception):
    """A variable of the function's environment is missing or out of range: the deployment is at fault."""


class AwsUnavailableError(Exception):
    """AWS throttled, timed out or broke; the same call may succeed later. Retried."""


class AwsRefusedError(Exception):
    """AWS refused a call (permission, parameter, missing resource); retrying cannot help."""


class QuotaExceededError(Exception):
    """The account's quota of running jobs or endpoints is used up; another run will free it. Retried slowly."""


class EndpointBusyError(Exception):
    """The endpoint is at its MaxConcurrency, waking up or changing. Retried."""


class ModelGoneError(Exception):
    """The endpoint is not there any more: newer models have replaced it. The lines can be scored by the live one."""


class RunEndedError(Exception):
    """The run was reported as failed and cleaned up, yet goes on: a late answer, or a redrive. It must tell nobody."""


class ChampionChangedError(Exception):
    """Another model went live since this run compared its own with the live one. The comparison is made again."""


class PreprocessingFailedError(Exception):
    """The processing job that reads a large file failed or was stopped, and not for the file's fault."""


class SweepRefusedError(Exception):
    """What was asked of a sweep cannot be tried, or would cost too much; the message says why. Never retried."""


class TrainingFailedError(Exception):
    """A training job failed or was stopped."""


class TransformFailedError(Exception):
    """The transform job that scores a large file's lines failed or was stopped."""


class NoFormerModelError(Exception):
    """There is no such model to go back to; the message says which there are."""


class PackageUnusableError(Exception):
    """A model package cannot be deployed or registered as it is; the message says why. Never retried."""


class TrialRefusedError(Exception):
    """A trial of a model cannot begin, or there is none to report on or to conclude; the message says why."""


class TrackingFailedError(Exception):
    """An MLflow server did not take a run. SageMaker's experiment has it; its event waits among the dead letters."""


class NoLiveModelError(Exception):
    """No model was ever promoted, so new lines cannot be scored yet. The upload is parked."""


class ModelResponseError(Exception):
    """The model's answer does not fit the request: it failed, or the counts of lines and scores differ."""
