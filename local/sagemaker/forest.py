"""A Random Cut Forest trained the way SageMaker's container trains one, and its serialised form."""

import gzip
import io
import tarfile
from collections.abc import Callable

import numpy as np
from krcf import RandomCutForest

from local.sagemaker.errors import DataError

ARTIFACT_MEMBER = "model_algo-1"
SEED = 20170724
CHECK_EVERY = 256
SMALLEST_SAMPLE = 3  # krcf's trees cannot be smaller; SageMaker's can, down to 1

Check = Callable[[], None]


def train(rows: np.ndarray, num_trees: int, num_samples_per_tree: int, check: Check) -> RandomCutForest:
    """A forest of `rows` (rows x features); the same rows and sizes give the same forest.

    SageMaker draws trees x samples rows without replacement. krcf decays by time unless lambda is 0, so the order of
    the file must not matter either: a seeded permutation. `check` is called every few rows and may raise to stop.
    """
    forest = RandomCutForest(
        {
            "dimensions": rows.shape[1],
            "shingle_size": 1,
            "num_trees": num_trees,
            "sample_size": max(num_samples_per_tree, SMALLEST_SAMPLE),
            "output_after": 1,
            "random_seed": SEED,
            "lambda": 0.0,  # type: ignore[typeddict-unknown-key]
            "initial_accept_fraction": 1.0,
            "internal_shingling": False,
            "parallel_execution_enabled": False,
        }
    )
    drawn = np.random.default_rng(SEED).permutation(len(rows))[: num_trees * num_samples_per_tree]
    for place, row in enumerate(rows[drawn].tolist()):
        if place % CHECK_EVERY == 0:
            check()
        forest.update(row)
    return forest


def score(forest: RandomCutForest, rows: np.ndarray, check: Check) -> list[float]:
    """Anomaly scores in the order of `rows`, about 0.6 (common) to 3 (rare). DataError when the widths differ.

    Equal rows are scored once: of encoded lines three in four repeat an earlier one.
    """
    if rows.shape[1] != forest.dimensions():
        raise DataError(f"the rows have {rows.shape[1]} features, the model was trained with {forest.dimensions()}")
    known: dict[bytes, float] = {}
    scores = []
    for place, row in enumerate(rows):
        if place % CHECK_EVERY == 0:
            check()
        key = row.tobytes()
        if key not in known:
            known[key] = forest.score(row.tolist())
        scores.append(known[key])
    return scores


def pack(forest: RandomCutForest) -> bytes:
    """model.tar.gz; no time stamps, so equal forests are equal bytes."""
    model = forest.to_msgpack()
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", compresslevel=1, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        member = tarfile.TarInfo(ARTIFACT_MEMBER)
        member.size = len(model)
        tar.addfile(member, io.BytesIO(model))
    return archive.getvalue()


def unpack(archive: bytes) -> RandomCutForest:
    """The forest in a model.tar.gz. DataError when it is not one of ours."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            member = tar.extractfile(ARTIFACT_MEMBER)
            if member is None:
                raise DataError(f"{ARTIFACT_MEMBER} is not a file")
            return RandomCutForest.from_msgpack(member.read())
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise DataError(f"not a model.tar.gz with {ARTIFACT_MEMBER}: {error}") from None
    except RuntimeError:
        raise DataError(f"{ARTIFACT_MEMBER} is not a forest of this engine") from None
