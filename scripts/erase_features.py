"""Whose records of the feature store are erased, and which runs have read it: erase.py's part for it.

A record has no firm and no matter. It has its file and the line's number in it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from suspicious_lines.feature_records import file_id

STORED = re.compile(r"runs/([^/]+)/stored\.json")  # RunFiles.stored


def readers(versions: Iterable[Any], read: Callable[[Any], bytes]) -> set[str]:
    """The runs that trained on stored lines: copies of any file's lines are among their own features of training. By
    all versions of what they noted, for those of a deleted run's features are still there too."""
    noted = [(found[1], version) for version in versions if (found := STORED.fullmatch(version.key))]
    return {run for run, version in noted if json.loads(read(version))["lines"]}


class Records:
    """The erased lines as the store knows them: `ids` of records, and `files` of which nobody can tell any more which
    of the lines that were trained on are meant: the rest of such a file is known from its run."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.files: set[str] = set()

    def of_upload(self, body: bytes, lines: set[int]) -> None:
        """An upload is there: all its lines are known."""
        file = file_id(hashlib.sha256(body).hexdigest())
        self.ids |= {f"{file}-{line}" for line in lines}

    def of_run(self, sha256: str | None, lines: set[int], *, whole: bool) -> None:
        """A run's lines; `whole`: its upload is there too. A run without a digest has stored nothing."""
        if sha256:
            self.ids |= {f"{file_id(sha256)}-{line}" for line in lines}
            self.files |= set() if whole else {file_id(sha256)}

    def mask(self, table: Any) -> np.ndarray:
        """Which records of the store go, shape [n]."""
        records: pd.DataFrame = table.select(["line_id", "part"]).to_pandas()
        file = records["line_id"].str.rpartition("-")[0]
        trained = file.isin(self.files) & (records["part"] == "train")
        return (records["line_id"].isin(self.ids) | trained).to_numpy(bool)
