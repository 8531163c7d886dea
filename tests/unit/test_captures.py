"""scripts/captures.py: a shadow's answers out of SageMaker's records."""

import base64
import importlib.util
import json

import numpy as np
import pytest

from frames import ROOT
from suspicious_lines.ranking import Reference


@pytest.fixture(scope="module")
def captures():
    spec = importlib.util.spec_from_file_location("captures", ROOT / "scripts" / "captures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(asked, scores, encoding="CSV"):
    def part(text, told):
        return {"data": base64.b64encode(text.encode()).decode() if encoding == "BASE64" else text, "encoding": told}

    answer = json.dumps({"scores": [{"score": score} for score in scores]})
    base64_of = {"CSV": "JSON", "BASE64": "BASE64"}[encoding]
    data = {"endpointInput": part(asked, encoding), "endpointOutput": part(answer, base64_of)}
    return (json.dumps({"captureData": data, "eventVersion": "0"}) + "\n").encode()


def test_requests_are_matched_by_what_was_asked_and_judged_by_the_live_threshold(captures):
    past = Reference(np.arange(1.0, 101.0), {})  # a score of 96 is that of the best 5 %
    production = captures.records([record("a\nb\n", [10, 99]) + record("c\n", [97]), record("only\n", [50])])
    shadow = captures.records([record("c\n", [20], "BASE64"), record("a\nb\n", [12, 98])])
    found, requests = captures.compare(production, shadow, past, threshold=-np.log(0.05))
    assert (requests, found.lines) == (2, 3)
    assert (found.both, found.only_live, found.only_challenger) == (1, 1, 0)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.rank_correlation == pytest.approx(1.0)  # 10 < 97 < 99, and 12 < 20 < 98


def test_records_of_one_side_only_are_left_out(captures):
    (whole,) = captures.records([record("a\n", [1])])
    half = {"captureData": {"endpointInput": whole["captureData"]["endpointInput"]}}
    assert captures.scores([half]) == {}
    assert captures.scores([whole]) == {"a\n": [1.0]}
