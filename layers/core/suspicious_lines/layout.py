"""Where everything of a run lies in the data bucket: the S3 contract, and the names derived from a run."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime

# Where people drop files, and how the names must end of those that a workflow takes.
TAKEN = {
    "incoming/": (".csv", ".CSV", ".txt", ".TXT"),
    "invoices/": (".csv", ".CSV", ".txt", ".TXT"),
    "verdicts/": (".csv", ".CSV"),
}
LIVE_MODEL_KEY = "models/current.json"
PARKED_PREFIX = "parked/"
RUNS_PREFIX = "runs/"
SHARED_PREFIX = "multi-model/"  # what the endpoint that families share serves
CAPTURED_PREFIX = "scored/"
JUDGED_PREFIX = "judged/"
FEATURES_PREFIX = "features/"  # the feature store's, where there is one
TRIALS_PREFIX = "trials/"
RUN_TAG = "suspicious-lines:run"
VARIANT = "forest"  # of every endpoint, as it is deployed its only one
# What begins the last part of a hosted model's name, by hosting mode: no digest begins so. See hosting_modes.py.
MARKS = ("", "pc", "rt", "as", "bt", "mm")
_OTHER_MODEL = re.compile(r"(champion|shadow)/[0-9a-f]{8}/")


@dataclass(frozen=True)
class RunFiles:
    """The keys of one run. `run` is the name of the Step Functions execution."""

    run: str

    @property
    def prefix(self) -> str:
        return f"{RUNS_PREFIX}{self.run}"

    @property
    def receipt(self) -> str:
        return f"{self.prefix}/receipt.json"

    @property
    def rejected(self) -> str:
        return f"{self.prefix}/rejected.csv"

    @property
    def encoder(self) -> str:
        return f"{self.prefix}/encoder.json"

    @property
    def model(self) -> str:
        return f"{self.prefix}/model/"

    @property
    def train_features(self) -> str:
        return f"{self.prefix}/features/train/"

    @property
    def test_features(self) -> str:
        return f"{self.prefix}/features/test/"

    @property
    def preprocessing_job(self) -> str:
        """What the processing job of a large file is asked; its answer is beside it."""
        return f"{self.prefix}/preprocessing/request.json"

    @property
    def preprocessing_answer(self) -> str:
        return f"{self.prefix}/preprocessing/answer.json"

    @property
    def transform_job(self) -> str:
        """Which transform job scores the lines of a large file."""
        return f"{self.prefix}/transform.json"

    @property
    def mlflow(self) -> str:
        """Which run in MLflow stands for this one."""
        return f"{self.prefix}/mlflow.json"

    def sweep(self, sweep: str, name: str) -> str:
        """What a sweep over the run's prepared lines has left; `sweep`: the name of its execution."""
        return f"{self.prefix}/sweep/{sweep}/{name}"

    def asynchronous(self, name: str) -> str:
        """What an asynchronous endpoint is sent for the run, and the notes of where it answers."""
        return f"{self.prefix}/async/{name}"

    @property
    def captured(self) -> str:
        """Where a real-time endpoint writes what it was asked and answered."""
        return f"{self.prefix}/captured"

    def transformed(self, job_name: str) -> str:
        """The folder that a transform job writes its answers to."""
        return f"{self.prefix}/transformed/{job_name}/"

    @property
    def parts(self) -> str:
        """The names of all the parts that the run's model scores, for a Distributed Map to read."""
        return f"{self.prefix}/parts.json"

    @property
    def stored(self) -> str:
        """What the feature store gave to the run's training, where it is read."""
        return f"{self.prefix}/stored.json"

    @property
    def champion_parts(self) -> str:
        return f"{self.prefix}/champion-parts.json"

    def features_of(self, kind: str) -> str:
        return f"{self.prefix}/features/{kind}/"

    @property
    def challenger(self) -> str:
        """Which model on trial scores a share of the run's invoices; there is none where none does."""
        return f"{self.prefix}/challenger.json"

    def features(self, part: str) -> str:
        return f"{self.prefix}/features/{part}.csv"

    def lines(self, part: str) -> str:
        """The lines of a part; those that another model scores as well are the run's own."""
        return f"{self.prefix}/lines/{_OTHER_MODEL.sub('', part)}.parquet"

    def trained(self, part: str) -> str:
        """Which lines are in a part of the train features: kept where there is a feature store."""
        return f"{self.prefix}/trained/{part}.parquet"

    def scores(self, part: str) -> str:
        return f"{self.prefix}/scores/{part}.parquet"

    def result(self, name: str) -> str:
        return f"{self.prefix}/results/{name}"


def run_of_artifact(uri: str) -> str:
    """The run that trained a model, by where its artifact lies: `RunFiles.model`."""
    return uri.partition(f"/{RUNS_PREFIX}")[2].split("/")[0]


def family_of(key: str, families: Collection[str]) -> str:
    """The family of an upload, whose models and thresholds are its own: `claims` of incoming/claims/2026/lines.csv,
    where that is one of `families`; empty, of none."""
    folders = key.split("/")[1:-1]
    return folders[0] if folders and folders[0] in families else ""


def incoming(family: str) -> str:
    """Where to drop past lines that train a model of a family, or of none."""
    return f"incoming/{family}/" if family else "incoming/"


def live_model_key(family: str) -> str:
    """What says which model scores new lines: those of a family, or (empty) those of none."""
    return f"models/{family}/current.json" if family else LIVE_MODEL_KEY


def part_name(kind: str, number: int) -> str:
    """`validation/part-00007`: parts sort by name in the order of their lines. Kinds: train, test, validation, planted,
    judged, and those of `invoices_kind` and `challenger_kind`."""
    return f"{kind}/part-{number:05d}"


def invoices_kind(model_run: str) -> str:
    """`invoices/1a2b3c4d`: new lines, encoded for and scored by the model that `model_run` trained. Each model has
    parts of its own: where another goes live meanwhile, a late answer of the first cannot write over the second's."""
    return f"invoices/{_digest(model_run)}"


def challenger_kind(model_run: str) -> str:
    """`challenger/1a2b3c4d`: the new lines that a model on trial scores in place of the live one."""
    return f"challenger/{_digest(model_run)}"


def is_challengers(part: str) -> bool:
    return part.startswith("challenger/")


def shadow_part(part: str, model_run: str) -> str:
    """`shadow/1a2b3c4d/invoices/5e6f7a8b/part-00007`: the same lines for the model on trial, beside the live one."""
    return f"shadow/{_digest(model_run)}/{part}"


def champion_part(part: str, model_run: str) -> str:
    """`champion/1a2b3c4d/validation/part-00007`: the same lines for the live model, which `model_run` trained."""
    return f"champion/{_digest(model_run)}/{part}"


def _digest(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()[:8]


def captured_key(day: date, run: str) -> str:
    """What the live model said of a run's lines: one file of a dataset partitioned by day."""
    return f"{CAPTURED_PREFIX}dt={day.isoformat()}/{run}.parquet"


def judged_key(day: date, run: str, family: str = "") -> str:
    """What reviewers said of lines: one file a review run and family, partitioned by day. Only ever added to."""
    folder = f"family={family}/" if family else ""
    return f"{JUDGED_PREFIX}dt={day.isoformat()}/{folder}{run}.parquet"


def is_judged_of(key: str, family: str) -> bool:
    """Whether the lines in a file of `judged_key` are of a family, or (empty) of none."""
    found = re.search(r"/family=([^/]+)/", key)
    return (found[1] if found else "") == family


def monitoring_key(day: date, name: str, family: str = "") -> str:
    """What was found of a day's lines, of a family or of none: report.json and report.html."""
    folder = f"{family}/" if family else ""
    return f"monitoring/dt={day.isoformat()}/{folder}{name}"


def told_key(run: str, message: str) -> str:
    """The note that a run has sent an e-mail: no retry sends it again. Deleted after 30 days by the bucket."""
    return f"told/{run}/{message}.json"


def trial_scores_key(trial: str, run: str) -> str:
    """What the live model and the one on trial said of a run's lines: one file a run."""
    return f"{TRIALS_PREFIX}{trial}/scores/{run}.parquet"


def trial_report_key(trial: str) -> str:
    return f"{TRIALS_PREFIX}{trial}/report.json"


def ground_truth_key(at: datetime, run: str) -> str:
    """The labels that a review run gave, where SageMaker's Model Monitor looks for them: by hour of UTC.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
    """
    return f"ground-truth/{at.astimezone(UTC):%Y/%m/%d/%H}/{run}.jsonl"


def resource_name(prefix: str, run: str, attempt: str = "", mark: str = "") -> str:
    """The name of a run's training job, model, endpoint configuration and endpoint, and of its processing and transform
    jobs, where `attempt` is what differs when the run begins again with another model. `mark`, one of MARKS, is the
    hosting mode's: an endpoint cannot change into one of another mode, so that each mode has a name of its own.

    Derived, so that a retry finds what it made before and a clean-up finds it without a note. Execution names have up
    to 80 characters and `_`; SageMaker's have 63 and no `_`: hence the readable start of the run and a digest of it.
    """
    start = re.sub(r"[^a-zA-Z0-9]", "", run)[:8].lower()
    digest = hashlib.sha256((run + attempt).encode()).hexdigest()
    return f"{prefix}-{start}-{mark}{digest[: 12 - len(mark)]}"


def shared_artifact(name: str) -> str:
    """The file below SHARED_PREFIX that is the artifact of a model of this name, which invocations ask for by it."""
    return f"{name}.tar.gz"


def mark_of(name: str) -> str:
    """Which of MARKS a model's or endpoint's name has."""
    found = re.match("|".join(filter(None, MARKS)), name.rpartition("-")[2])
    return found[0] if found else ""


def run_tags(run: str) -> list[dict[str, str]]:
    """The tags of all that SageMaker has of a run. A name does not tell the run; they do."""
    return [{"Key": RUN_TAG, "Value": run}]


def is_resource_name(prefix: str, name: str) -> bool:
    """Whether `resource_name` could have made this name for this prefix, and for no other prefix that it starts with:
    a stack's name may begin with another's."""
    digest = "|".join(f"{mark}[0-9a-f]{{{12 - len(mark)}}}" for mark in MARKS)
    return re.fullmatch(rf"{re.escape(prefix)}-[a-z0-9]{{0,8}}-({digest})", name) is not None
