"""`make erase`: of one firm, or one matter, nothing is left in any version; all others stay, and the model works."""

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.activities import generate
from suspicious_lines.layout import champion_part
from suspicious_lines.ledes import HEADER, VERSION

ROOT = Path(__file__).parents[2]
FIRM, OTHER = 'Erased "Elm" & Söhne LLP', "Specimen Oak LLP"
FORMS = [FIRM, FIRM.replace('"', '""'), json.dumps(FIRM)[1:-1], json.dumps(FIRM, ensure_ascii=False)[1:-1]]
LOOKS_ALIKE = 'ERASED "Elm" & Söhne, LLP'
RECORD = dict.fromkeys(HEADER, "1") | {
    "INVOICE_DATE": "20261001", "LINE_ITEM_DATE": "20261002", "EXP/FEE/INV_ADJ_TYPE": "F", "LAW_FIRM_ID": "EL-1",
    "LINE_ITEM_TASK_CODE": "L110", "LINE_ITEM_ACTIVITY_CODE": "A102", "TIMEKEEPER_CLASSIFICATION": "PT",
}  # fmt: skip


def empty(workflow) -> None:
    """What other tests of the tier left behind is slow to look through."""
    workflow.forget_models()
    for page in workflow.s3.get_paginator("list_object_versions").paginate(Bucket=workflow.bucket):
        for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            workflow.s3.delete_object(Bucket=workflow.bucket, Key=entry["Key"], VersionId=entry["VersionId"])


def planted(lines: int, seed: int) -> pd.DataFrame:
    """Every third line is the firm's, and some of each firm's lines are refused."""
    frame = generate(seed=seed, lines=lines).astype(object)
    frame["Firm Name"] = [FIRM if place % 3 == 0 else OTHER for place in range(lines)]
    frame["Matter Number"] = [f"{'E' if place % 3 == 0 else 'O'}-{place % 9}" for place in range(lines)]
    frame.loc[[9, 10], "Minutes"] = "none"
    return frame


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def erase(workflow, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "scripts/erase.py", "--home", str(workflow.cloud.outbox.parent), *arguments]
    environment = os.environ | {"PYTHONPATH": "layers/core"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def versions(workflow) -> dict[tuple[str, str], bytes]:
    """All that the bucket stores, superseded versions too."""
    found = {}
    for page in workflow.s3.get_paginator("list_object_versions").paginate(Bucket=workflow.bucket):
        for entry in page.get("Versions", []):
            at = {"Key": entry["Key"], "VersionId": entry["VersionId"]}
            found[entry["Key"], entry["VersionId"]] = workflow.s3.get_object(Bucket=workflow.bucket, **at)[
                "Body"
            ].read()
    return found


def decoded(body: bytes) -> str:
    """The bytes as text; Parquet as its columns with all their dictionaries, beside its own bytes."""
    text = body.decode("utf-8", "replace")
    if body[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(body))
        columns = [chunk for column in table.columns for chunk in column.chunks]
        text += repr([chunk.dictionary.to_pylist() for chunk in columns if isinstance(chunk, pa.DictionaryArray)])
        text += repr(table.to_pylist())
    return text


def holding(found: dict[tuple[str, str], bytes], *words: str) -> set[str]:
    """The first folders of the objects in which one of these words is."""
    return {key.split("/")[0] for (key, _), body in found.items() if any(word in decoded(body) for word in words)}


def ours(workflow, key: str) -> list[dict]:
    body = workflow.s3.get_object(Bucket=workflow.bucket, Key=key)["Body"].read()
    return pq.read_table(io.BytesIO(body)).to_pylist()


def listed(workflow, run) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(workflow.read(run, "results/suspicious_lines.csv").decode())))


def keys(workflow, prefix: str) -> list[str]:
    return [key for key, _ in versions(workflow) if key.startswith(prefix)]


def fill(workflow) -> SimpleNamespace:
    """A run of each workflow that keeps lines, and what people and Athena leave beside them."""
    empty(workflow)
    activities = csv_of(planted(1_500, 31))
    workflow.drop(activities)
    train = workflow.drop(activities)  # has a champion
    score = workflow.drop(csv_of(planted(600, 32).drop(columns="Error")), "invoices/june.csv")
    rows = listed(workflow, score)
    assert {row["Firm Name"] for row in rows} == {FIRM, OTHER}
    told = [f"{score.name},{row['Line']},fine,note of {row['Firm Name'][:6]}" for row in rows]
    others = next(place for place, row in enumerate(rows) if row["Firm Name"] == OTHER)
    told[others] = f'{told[others].rpartition(",")[0]},"as {FIRM.replace(chr(34), chr(34) * 2)}"'
    review = workflow.drop("\r\n".join(["Run,Line,Verdict,Note", *told, ""]).encode(), "verdicts/june.csv")
    judged = workflow.drop(activities, "incoming/second.csv")  # has the judged lines among its parts
    assert [run.status for run in (train, score, review, judged)] == ["SUCCEEDED"] * 4
    workflow.s3.put_object(Bucket=workflow.bucket, Key="athena/answer.csv", Body=f"firm\n{FIRM}\n".encode())
    pattern = {"matter_type": None, "resource": "Partner", "activity": "Phone Call", "field": "fee", "until": None}
    for firms in ((FIRM,), (FIRM, OTHER)):
        accepted = [{"name": firm, "firm_name": firm, "at_stake_up_to": 1, **pattern} for firm in firms]
        body = json.dumps({"suppressions": accepted})
        workflow.s3.put_object(Bucket=workflow.bucket, Key="config/suppressions.json", Body=body)
    return SimpleNamespace(score=score, review=review, judged=judged, rows=rows)


@pytest.fixture(scope="module")
def erased(_workflow):
    """A bucket from which a firm was erased, with what was in it before."""
    found = fill(_workflow)
    found.new = csv_of(planted(300, 33).drop(columns="Error"))
    found.july = _workflow.drop(found.new, "invoices/july.csv")
    found.live, found.before, found.started = _workflow.live(), versions(_workflow), len(_workflow.executions())
    found.expected = erase(_workflow, "--firm", FIRM)
    found.after_the_dry_run = versions(_workflow)
    found.done = erase(_workflow, "--firm", f"  {FIRM.replace(' ', '  ')}", "--yes")
    yield found
    _workflow.forget_verdicts()


def test_nothing_of_the_firm_is_left_in_any_version(workflow, erased):
    assert holding(erased.before, *FORMS) > {"judged", "scored", "runs", "verdicts", "incoming", "invoices", "config"}
    assert (erased.expected.returncode, erased.done.returncode, erased.done.stderr) == (0, 0, "")
    assert erased.expected.stdout.startswith("would erase on the embedded AWS, s3://")
    assert erased.after_the_dry_run == erased.before
    assert erased.done.stdout.splitlines()[1:] == erased.expected.stdout.splitlines()[1:]
    assert holding(versions(workflow), *FORMS) == set()
    assert not keys(workflow, "athena/")
    again = erase(workflow, "--firm", FIRM, "--yes")
    assert (again.returncode, again.stdout.splitlines()[1:]) == (0, ["0 versions: 0 rewritten, 0 deleted"])


def test_the_others_lines_are_as_they_were(workflow, erased):
    for (key, version), body in erased.before.items():
        if key.endswith(".parquet") and "/scores/" not in key:
            expected = [line for line in pq.read_table(io.BytesIO(body)).to_pylist() if line["firm_name"] == OTHER]
            for line in expected:
                line["note"] = None if FIRM in (line.get("note") or "") else line.get("note")
            found = [line | {"note": line.get("note")} for line in ours(workflow, key)]
            assert found == expected != [], (key, version)
    rows = listed(workflow, erased.score)
    assert rows == [row for row in erased.rows if row["Firm Name"] == OTHER]
    (labels,) = [body for (key, _), body in versions(workflow).items() if key.startswith("ground-truth/")]
    assert labels.count(b"\n") == len(rows)
    refused = csv.DictReader(io.StringIO(workflow.read(erased.judged, "rejected.csv").decode()))
    assert [row["Line"] for row in refused] == ["12"]
    assert OTHER in json.dumps(workflow.json(erased.review, "results/review.json"))
    left = json.loads(workflow.s3.get_object(Bucket=workflow.bucket, Key="config/suppressions.json")["Body"].read())
    assert [found["firm_name"] for found in left["suppressions"]] == [OTHER]


def test_features_and_scores_stay_those_of_their_lines(workflow, erased):
    prefix = f"runs/{erased.judged.name}/"
    parts = [key.removeprefix(f"{prefix}lines/") for key in keys(workflow, f"{prefix}lines/")]
    assert {part.split("/")[0] for part in parts} == {"validation", "planted", "judged"}
    champion = workflow.json(erased.judged, "results/comparison.json")["champion"]
    theirs = {champion_part(part, champion): part for part in parts if not part.startswith("judged/")}
    for part, own in [*zip(parts, parts, strict=True), *theirs.items()]:
        numbers = [line["line"] for line in ours(workflow, f"{prefix}lines/{own}")]
        assert [row["line"] for row in ours(workflow, f"{prefix}scores/{part}")] == numbers
        features = workflow.read(erased.judged, f"features/{part}".replace(".parquet", ".csv"))
        assert features.count(b"\n") == len(numbers)
    assert not keys(workflow, f"{prefix}features/train/")
    assert not keys(workflow, f"{prefix}features/test/")


def test_what_is_left_of_uploads_starts_nothing(workflow, erased):
    assert not [key for prefix in ("incoming/", "invoices/", "verdicts/") for key in keys(workflow, prefix)]
    assert len(workflow.executions()) == erased.started
    bodies = [body for (key, _), body in versions(workflow).items() if key.startswith("rewritten/incoming/")]
    whole = planted(1_500, 31)
    assert bodies == [csv_of(whole[whole["Firm Name"] == OTHER])] * 2  # what two keys held; a superseded one is gone


def test_the_live_model_scores_as_before(workflow, erased):
    after = workflow.drop(erased.new, "invoices/july.csv")
    assert (after.status, workflow.live()) == ("SUCCEEDED", erased.live)
    before = ours(workflow, f"runs/{erased.july.name}/results/scored_lines.parquet")
    again = ours(workflow, f"runs/{after.name}/results/scored_lines.parquet")
    found = {line["line"]: line["model_score"] for line in again}
    assert {line["line"]: found[line["line"]] for line in before} == {
        line["line"]: line["model_score"] for line in before
    }


def test_what_is_left_of_an_upload_can_be_dropped_again(workflow, erased):
    left = next(body for (key, _), body in versions(workflow).items() if key.startswith("rewritten/incoming/"))
    assert workflow.drop(left).status == "SUCCEEDED"


def test_one_matter_goes_and_the_firms_others_stay(workflow, no_verdicts):
    fill(workflow)
    before = Counter(line["matter_number"] for key in keys(workflow, "scored/") for line in ours(workflow, key))
    done = erase(workflow, "--firm", FIRM, "--matter", "E-3", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    after = Counter(line["matter_number"] for key in keys(workflow, "scored/") for line in ours(workflow, key))
    assert before.pop("E-3") > 0
    assert after == before
    assert holding(versions(workflow), "'E-3'", ",E-3,", '"E-3"', "\nE-3,") == set()


def test_versions_under_a_delete_marker_and_other_encodings_are_found(workflow):
    empty(workflow)
    frame = planted(60, 34)
    put = {"Bucket": workflow.bucket}
    workflow.s3.put_object(**put, Key="incoming/gone.dat", Body=csv_of(frame))
    workflow.s3.delete_object(**put, Key="incoming/gone.dat")
    workflow.s3.put_object(**put, Key="incoming/wide.dat", Body=csv_of(frame).decode().encode("utf-16"))
    workflow.s3.put_object(**put, Key="incoming/packed.dat", Body=b"PK\x03\x04" + bytes(60))
    alike = frame.assign(**{"Firm Name": LOOKS_ALIKE})
    workflow.s3.put_object(**put, Key="incoming/alike.dat", Body=csv_of(alike))
    note = f"=see {FIRM}\n{OTHER}".encode()
    workflow.s3.put_object(**put, Key="elsewhere/note.txt", Body=note)
    codes = {
        "firms": {"EL-1": FIRM, "OA-1": OTHER},
        "resources": {},
        "activities": {},
        "matter_types": {},
        "matters": {},
    }
    workflow.s3.put_object(**put, Key="config/ledes.json", Body=json.dumps(codes))
    records = ["|".join((RECORD | {"LAW_FIRM_ID": code}).values()) + "[]" for code in ("EL-1", "OA-1", "EL-1")]
    records += [records[0].removesuffix("[]"), records[1].removesuffix("[]")]  # refused: cut off
    ledes = "\n".join([VERSION, "|".join(HEADER) + "[]", *records, ""])
    workflow.s3.put_object(**put, Key="invoices/june.dat", Body=ledes.encode())

    done = erase(workflow, "--firm", FIRM, "--yes")
    assert done.returncode == 1
    assert "the name is still in elsewhere/note.txt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert f"another name, not erased: {LOOKS_ALIKE}\n" in done.stdout
    assert "cannot be looked into, not erased: incoming/packed.dat\n" in done.stdout
    assert set(keys(workflow, "incoming/")) == {"incoming/packed.dat", "incoming/alike.dat"}
    (left,) = [body for (key, _), body in versions(workflow).items() if key.startswith("rewritten/invoices/")]
    assert left.decode() == "\n".join([*ledes.splitlines()[:2], records[1], records[4], ""])
    found = workflow.s3.list_object_versions(**put, Prefix="incoming/gone.dat")
    assert "Versions" not in found
    assert "DeleteMarkers" not in found
    answer = json.loads(workflow.s3.get_object(**put, Key="config/ledes.json")["Body"].read())
    assert answer["firms"] == {"OA-1": OTHER}


def test_a_model_is_not_left_without_the_lines_that_it_is_measured_by(workflow, activities):
    empty(workflow)
    frame = pd.read_csv(io.BytesIO(activities))
    workflow.drop(csv_of(frame.assign(**{"Firm Name": FIRM})))
    before = versions(workflow)
    done = erase(workflow, "--firm", FIRM, "--yes")
    assert (done.returncode, "train another first" in done.stderr) == (1, True)
    assert versions(workflow) == before


def test_nothing_is_erased_while_a_run_could_write(workflow, activities):
    workflow.fault("InvokeEndpoint", "ThrottlingException", 10_000)
    arn = workflow.arn_of(workflow.upload(activities))
    done = erase(workflow, "--firm", FIRM, "--yes")
    workflow.no_faults()
    assert workflow.wait(arn).status == "SUCCEEDED"
    assert (done.returncode, f"{arn} is running: wait for its end" in done.stderr) == (1, True)
