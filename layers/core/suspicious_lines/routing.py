"""Which invoices a model on trial scores in place of the live one.

Each model has an encoder and a threshold of its own, so that an endpoint's variants cannot split between two runs: the
split is made where lines are encoded. It is by invoice, so that none is judged by two models, and by a hash of its
number, so that it falls the same way in every file of the trial; a greater share keeps the invoices of a smaller one.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from suspicious_lines import arrow, store
from suspicious_lines.layout import RunFiles
from suspicious_lines.model_messages import Challenger

if TYPE_CHECKING:
    from suspicious_lines.spilling import Spill

_HASH_BYTES = 8


def goes_to_challenger(matters: Sequence[str], model_run: str, share: int) -> np.ndarray:
    """A mask of the invoices, by their matter numbers, that the model of `model_run` scores: `share` percent of many.

    The run is hashed with the number: each trial picks other invoices.
    """
    below = share * (1 << 8 * _HASH_BYTES) // 100
    return np.array([_point(f"{model_run}/{matter}") < below for matter in matters], dtype=bool)


def _point(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:_HASH_BYTES])


def shared(spill: "Spill", challenger: Challenger) -> np.ndarray:
    """A mask over the accepted lines: those that the challenger scores."""
    masks = [np.zeros(0, dtype=bool)]
    for table in spill.lines(["matter_number"]):
        for cells in table.column(0).chunks:
            theirs = goes_to_challenger(cells.dictionary.to_pylist(), challenger.run, challenger.share)
            masks.append(theirs[arrow.codes(cells)])
    return np.concatenate(masks)


def challenger_of(bucket: str, run: str) -> Challenger:
    """The model that scores the run's parts of `challenger_kind`."""
    return msgspec.json.decode(store.get_bytes(bucket, RunFiles(run).challenger), type=Challenger)


def had_challenger(bucket: str, run: str) -> bool:
    """Whether a run that has to begin again began with a challenger: it may be that one's endpoint that is gone."""
    return store.exists(bucket, RunFiles(run).challenger)
