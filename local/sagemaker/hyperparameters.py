"""What RCF's container makes of a training job's hyperparameters and channels, and how it words a refusal."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from local.sagemaker import recordio, tables
from local.sagemaker.errors import AlgorithmError

METRICS = ("accuracy", "precision_recall_fscore")
RANGES = {
    "feature_dim": (1, 10_000),
    "num_trees": (50, 1_000),
    "num_samples_per_tree": (1, 2_048),
    "mini_batch_size": (1, 10_000_000),
}
DEFAULTS = {"num_trees": "100", "num_samples_per_tree": "256", "eval_metrics": json.dumps(METRICS)}
# Channel name: its content type as CSV, with the label column count, and the only distribution the container accepts.
CHANNELS = {
    "train": ("text/csv;label_size=0", "ShardedByS3Key"),
    "test": ("text/csv;label_size=1", "FullyReplicated"),
}
SOURCES = ("S3Prefix", "ManifestFile")


@dataclass(frozen=True)
class Channel:
    """Where a channel's objects are, and how they are read; `by_manifest`: `uri` is an object that lists them."""

    name: str
    uri: str
    by_manifest: bool
    read: Callable[[bytes], np.ndarray]


@dataclass(frozen=True)
class Hyperparameters:
    feature_dim: int
    num_trees: int
    num_samples_per_tree: int
    eval_metrics: list[str]


def parse_hyperparameters(given: dict[str, str]) -> Hyperparameters:
    """The hyperparameters with their defaults. AlgorithmError for an unknown, missing or out-of-range one."""
    if unknown := sorted(set(given) - set(RANGES) - {"eval_metrics"}):
        raise _refused(f"Additional hyperparameter(s) are not allowed: {', '.join(map(repr, unknown))} was unexpected")
    if "feature_dim" not in given:
        raise _refused("No value(s) were specified for 'feature_dim' which are required hyperparameter(s)")
    values = DEFAULTS | given
    numbers = {name: _integer(name, values[name]) for name in RANGES if name in values}
    return Hyperparameters(
        feature_dim=numbers["feature_dim"],
        num_trees=numbers["num_trees"],
        num_samples_per_tree=numbers["num_samples_per_tree"],
        eval_metrics=_metrics(values["eval_metrics"]),
    )


def parse_channels(given: list[dict[str, Any]]) -> dict[str, Channel]:
    """`train` and, where there is one, `test`. AlgorithmError for channels RCF does not read."""
    channels = {}
    for channel in given:
        name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
        if name not in CHANNELS:
            raise _refused(f"Additional channel(s) are not allowed: '{name}' was unexpected")
        content_type, distribution = CHANNELS[name]
        if source is None or source["S3DataType"] not in SOURCES or channel.get("CompressionType", "None") != "None":
            raise _refused(f"The local engine reads uncompressed {' and '.join(SOURCES)} only, see channel '{name}'")
        readers: dict[str, Callable[[bytes], np.ndarray]] = {
            content_type: tables.from_csv,
            recordio.MEDIA_TYPE: partial(recordio.to_rows, labelled=name == "test"),
        }
        actual = channel.get("ContentType", recordio.MEDIA_TYPE).replace(" ", "")
        if actual not in readers:
            raise _refused(f"'{actual}' is not one of {list(readers)} for ContentType of channel '{name}'")
        read = readers[actual]
        actual = source.get("S3DataDistributionType", "FullyReplicated")
        if actual != distribution:
            raise _refused(f"'{actual}' is not one of ['{distribution}'] for S3DistributionType of channel '{name}'")
        channels[name] = Channel(name, source["S3Uri"], source["S3DataType"] == "ManifestFile", read)
    if "train" not in channels:
        raise _refused("'train' is a required channel")
    return channels


def _integer(name: str, text: str) -> int:
    least, most = RANGES[name]
    if text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise _not_valid(name, text, f"A string which represents an integer from {least} to {most}")


def _metrics(text: str) -> list[str]:
    try:
        metrics = json.loads(text)
    except ValueError:
        metrics = None
    if not isinstance(metrics, list) or not metrics or not all(metric in METRICS for metric in metrics):
        raise _not_valid("eval_metrics", text, f"A JSON list of {' and '.join(METRICS)}")
    return metrics


def _not_valid(name: str, text: str, expected: str) -> AlgorithmError:
    return _refused(
        f"The value '{text}' is not valid for the '{name}' hyperparameter "
        f"which expects one of the following: {expected}"
    )


def _refused(reason: str) -> AlgorithmError:
    return AlgorithmError(f"{reason} (caused by ValidationError)")
