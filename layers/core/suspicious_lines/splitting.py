"""The train and the validation lines of an upload, 80 % and 20 %: drawn as they are read, and each kept on disk."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from suspicious_lines import arrow
from suspicious_lines.ahead import ahead
from suspicious_lines.encoder import Fitting
from suspicious_lines.spilling import Spill, cut

TRAIN_SHARE = 0.8
LINES_PER_DRAW = 1 << 17
LINES_AT_ONCE = 1 << 16


class Draw:
    """Draws the train lines by `seed`, LINES_PER_DRAW lines at a time, so that no more are held to draw from."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._drawn = 0

    def next(self, count: int) -> np.ndarray:
        """A mask of the train lines among the next `count`: with them, TRAIN_SHARE of all so far."""
        former, self._drawn = self._drawn, self._drawn + count
        train = round(self._drawn * TRAIN_SHARE) - round(former * TRAIN_SHARE)
        mask = np.zeros(count, dtype=bool)
        mask[self._rng.permutation(count)[:train]] = True
        return mask


class Split:
    """`train`: the train lines, of their columns those asked for; `fitting` has seen them. `validation`: the others."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self.train, self.validation = Spill(folder / "train.arrows"), Spill(folder / "validation.arrows")
        self.fitting = Fitting()
        self._columns = columns
        self._errors = bytearray()

    def read(self, accepted: Iterable[pa.RecordBatch], seed: int) -> None:
        """To be called once, with all the lines of the upload."""
        draw = Draw(seed)
        for lines in ahead(cut((pa.Table.from_batches([some]) for some in accepted), LINES_PER_DRAW)):
            in_train = draw.next(len(lines))
            for start in range(0, len(lines), LINES_AT_ONCE):
                end = start + LINES_AT_ONCE
                self._add(lines[start:end].unify_dictionaries(), in_train[start:end])
        self.train.close()
        self.validation.close()

    def _add(self, lines: pa.Table, in_train: np.ndarray) -> None:
        train = lines.select(self._columns).filter(arrow.array(in_train)).combine_chunks()
        self.fitting.add(train)
        self.train.add(train)
        validation = lines.filter(arrow.array(~in_train)).combine_chunks()
        self.validation.add(validation)
        for error in validation["error"].chunks:
            self._errors += arrow.truths(error).tobytes()

    @property
    def errors(self) -> np.ndarray:
        """A mask of the validation lines that are known errors."""
        return np.frombuffer(self._errors, dtype=bool)
