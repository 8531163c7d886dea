"""scripts/erase.py in its parts; tests/workflow/test_erase.py tries it on what the workflows leave."""

import importlib
import io
import itertools
import json
import re
import subprocess

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from frames import BUCKET, ROOT, csv_of, lines_frame, row
from suspicious_lines.errors import InvalidUploadError
from suspicious_lines.ledes import Mapping
from tests.corpus.cases import cases
from tests.corpus.ledes_cases import record, text

FIRM, OTHER = "Specimen Elm LLP", "Specimen LLP"


@pytest.fixture
def erasing(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("erasing")


@pytest.fixture
def erase(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("erase")


def parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return sink.getvalue()


def upload(firms: list[str]) -> bytes:
    return csv_of([row(number).replace(OTHER, firm) for number, firm in enumerate(firms)])


def test_every_file_of_the_corpus_is_cut_at_its_lines(erasing):
    """Nobody's lines: not a byte changes. The firm's: none of them is read any more, and every other record stays."""
    readable = 0
    for case in cases():
        try:
            found = erasing.cut_upload(case.body, erasing.Target("Absent LLP"), Mapping.default(), print)
        except InvalidUploadError:
            continue
        readable += 1
        assert (found.body, found.erased) == (case.body, set()), case.name
        target = erasing.Target("F1" if b"LEDES" in case.body[:20] else FIRM)
        cut = erasing.cut_upload(case.body, target, Mapping.default(), print)
        assert len(cut.erased) + cut.left == found.left, case.name
        again = erasing.cut_upload(cut.body, target, Mapping.default(), print)
        assert (again.erased, again.left) == (set(), cut.left), case.name
    assert readable > 300


@pytest.mark.parametrize(
    "refused", ["9,Specimen Elm LLP", '9,"Specimen  Elm LLP,a\n', "9,x,IPO,a,b,no,1,1,of Specimen Elm LLP"]
)
def test_a_refused_line_goes_where_it_holds_the_name(erasing, refused):
    body = upload([OTHER] * 3) + refused.encode() + b"\n" + row(4).encode() + b"\n"
    cut = erasing.cut_upload(body, erasing.Target(FIRM), Mapping.default(), print)
    assert cut.body == upload([OTHER] * 3) + row(4).encode() + b"\n"


def test_a_refused_ledes_record_is_known_by_the_firms_code_and_the_matters_number(erasing):
    mapping = Mapping(firms={"f1": FIRM}, resources={}, activities={}, matter_types={}, matters={})
    records = [
        record(),
        record(LAW_FIRM_ID="F2"),
        record(TYPE="E", LAW_FIRM_ID="f1"),
        record(TYPE="E", LAW_FIRM_ID="F2"),
    ]
    for matter, erased in (("", {3, 5}), ("17 / CM1", {3, 5}), ("17 / CM2", set())):
        found = erasing.cut_upload(text(records).encode(), erasing.Target(FIRM, matter), mapping, print)
        assert (found.erased, found.left) == (erased, 4 - len(erased))


def test_a_name_within_another_is_another_firms(erasing):
    body = upload([FIRM, f"{FIRM} & Co", f"Old {FIRM}"])
    cut = erasing.cut_upload(body, erasing.Target(FIRM), Mapping.default(), print)
    assert cut.body == upload([f"{FIRM} & Co", f"Old {FIRM}"]).replace(b"\n0,", b"\n1,").replace(b"\n1,Old", b"\n2,Old")


def test_our_own_csv_keeps_marks_line_breaks_and_formulas(erasing):
    head, kept, gone = "\ufeffLine,Column,Value,Reason\n", '3,Fee,"a\n""b""\r\n",bad\n', f"2,Fee,'=of {FIRM},bad\n"
    body = (head + kept + gone + kept.replace("3", "4")).encode()
    assert erasing.cut_refused(body, erasing.Target(FIRM), {4}) == ((head + kept).encode(), 2)


def test_parquet_keeps_its_schema_and_forgets_what_no_row_says(erasing):
    frame = lines_frame(40).assign(firm_name=pd.Categorical([FIRM, OTHER] * 20, categories=[FIRM, OTHER, "Unused LLP"]))
    table, target = erasing.read_table(parquet(frame)), erasing.Target(FIRM)
    left = erasing.write_table(table, target.mask(frame))
    again = pq.read_table(io.BytesIO(left))
    assert again.schema.equals(table.schema, check_metadata=True)
    assert again.to_pylist() == [line for line in table.to_pylist() if line["firm_name"] == OTHER]
    assert again.column("firm_name").chunk(0).dictionary.to_pylist() == [OTHER]
    assert FIRM.encode() not in left


def test_a_part_whose_dictionary_alone_has_the_name_is_found(erasing):
    """All parts of a run share the dictionaries of its file."""
    frame = lines_frame(40).assign(firm_name=pd.Categorical([FIRM, OTHER] * 20))
    part = erasing.read_table(parquet(frame[frame["firm_name"] == OTHER]))
    assert erasing.stale(part, erasing.Target(FIRM))
    left = erasing.write_table(part, erasing.Target(FIRM).mask(part.to_pandas()))
    assert not erasing.stale(erasing.read_table(left), erasing.Target(FIRM))


def test_documents_lose_what_names_the_firm(erasing):
    pattern = {"name": "any", "firm_name": FIRM, "resource": "Partner"}
    document = {
        "by_firm": {FIRM: 1, f"{FIRM} & Co": 2},
        "suppressed": {f"{FIRM}, IPO, Partner": 3, OTHER: 4},
        "proposals": [pattern, pattern | {"firm_name": OTHER}],
        "firms": {"24-1": FIRM, "24-2": OTHER},
    }
    assert erasing.cut_document(document, erasing.Target(FIRM)) == {
        "by_firm": {f"{FIRM} & Co": 2},
        "suppressed": {OTHER: 4},
        "proposals": [pattern | {"firm_name": OTHER}],
        "firms": {"24-2": OTHER},
    }


def held(s3) -> dict[str, bytes]:
    return {
        entry["Key"]: s3.get_object(Bucket=BUCKET, Key=entry["Key"], VersionId=entry["VersionId"])["Body"].read()
        for entry in s3.list_object_versions(Bucket=BUCKET).get("Versions", [])
    }


def planned(erase, erasing, s3):
    return erase.Planner(erase.Bucket(s3, BUCKET), erasing.Target(FIRM)).run().steps


def filled(s3) -> None:
    frame = lines_frame(40).assign(firm_name=pd.Categorical([FIRM, OTHER] * 20))
    lines = parquet(frame)
    scores = parquet(pd.DataFrame({"line": frame["line"], "score": 1.0}))
    features = b"".join(b"%d,0\n" % number for number in range(40))
    refused = upload([FIRM, OTHER]).replace(b",60,", b",no,")
    receipt = {"input": {"key": "invoices/x.csv", "version_id": None}}
    version = s3.put_object(Bucket=BUCKET, Key="invoices/x.csv", Body=refused + upload([FIRM, OTHER] * 3))["VersionId"]
    receipt["input"]["version_id"] = version
    for key, body in {
        "runs/a/lines/invoices/part-00000.parquet": lines,
        "runs/a/scores/invoices/part-00000.parquet": scores,
        "runs/a/features/invoices/part-00000.csv": features,
        "runs/a/features/shadow/1a2b3c4d/invoices/part-00000.csv": features,
        "trials/t/scores/a.parquet": parquet(pd.DataFrame({"run": "a", "line": frame["line"], "score": 1.0})),
        "runs/a/results/scored_lines.parquet": lines,
        "runs/a/receipt.json": json.dumps(receipt).encode(),
        "runs/a/rejected.csv": b"Line,Column,Value,Reason\n2,Minutes,no,bad\n3,Minutes,no,bad\n",
        "verdicts/v.csv": b"Run,Line,Verdict,Note\na,2,fine,\na,3,fine,\n",
    }.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


class Stop(Exception):
    """The script's end in the middle of its work."""


def broken_off(s3, erase, erasing, writes: int) -> bool:
    """Erases until so many objects have been written or deleted; True where the end came first."""
    left = iter(range(writes))

    def count(model, **_):
        if model.name in {"PutObject", "DeleteObject"} and next(left, None) is None:
            raise Stop

    s3.meta.events.register("before-call.s3", count)
    try:
        for step in planned(erase, erasing, s3):
            erase.Bucket(s3, BUCKET).do(step)
    except Stop:
        return True
    finally:
        s3.meta.events.unregister("before-call.s3", count)
    return False


def test_broken_off_anywhere_a_second_run_ends_where_one_would_have(cloud, erase, erasing):
    s3, ends = cloud.s3, []
    for writes in itertools.count():
        for entry in s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
            s3.delete_object(Bucket=BUCKET, Key=entry["Key"], VersionId=entry["VersionId"])
        filled(s3)
        broken = broken_off(s3, erase, erasing, writes)
        assert not broken_off(s3, erase, erasing, 10_000)
        assert planned(erase, erasing, s3) == []
        # What is left of an upload is called by its version.
        found = {re.sub(r"^(rewritten/\w+/).*", r"\1", key): body for key, body in held(s3).items()}
        found.pop("runs/a/receipt.json")
        ends.append(found)
        if not broken:
            break
    assert writes > 10
    assert [found for found in ends if found != ends[-1]] == []
    for part in ("invoices", "shadow/1a2b3c4d/invoices"):
        features = ends[-1][f"runs/a/features/{part}/part-00000.csv"]
        assert features == b"".join(b"%d,0\n" % number for number in range(1, 40, 2))
    kept = pd.read_parquet(io.BytesIO(ends[-1]["trials/t/scores/a.parquet"]))
    assert kept["line"].tolist() == lines_frame(40)["line"].tolist()[1::2]


def test_features_of_every_training_that_read_the_store_go_where_anything_is_erased(cloud, erase, erasing):
    """All versions, and those of a deleted run. Nothing else ties such runs to the firm."""
    s3 = cloud.s3
    for run, lines in (("reader", 7), ("deleted", 7), ("other", 0)):
        s3.put_object(Bucket=BUCKET, Key=f"runs/{run}/stored.json", Body=json.dumps({"lines": lines}).encode())
        for name in ("train/part-00000", "train/part-00000", "validation/part-00000"):
            s3.put_object(Bucket=BUCKET, Key=f"runs/{run}/features/{name}.csv", Body=b"0,1\n")
    for name in ("stored.json", "features/train/part-00000.csv"):
        s3.delete_object(Bucket=BUCKET, Key=f"runs/deleted/{name}")
    assert planned(erase, erasing, s3) == [], "nothing of the firm is there"
    filled(s3)
    assert not broken_off(s3, erase, erasing, 10_000)
    left = {key for key in held(s3) if "/features/" in key and not key.startswith("runs/a/")}
    others = {f"runs/{run}/features/validation/part-00000.csv" for run in ("deleted", "other", "reader")}
    assert left == others | {"runs/other/features/train/part-00000.csv"}


def test_what_another_writes_meanwhile_is_not_lost(cloud, erase, erasing):
    s3 = cloud.s3
    filled(s3)
    steps = planned(erase, erasing, s3)
    key = "runs/a/results/scored_lines.parquet"
    (step,) = [step for step in steps if step.version.key == key]
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"written meanwhile")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        erase.Bucket(s3, BUCKET).do(step)
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"written meanwhile"


def test_make_erase_hands_the_name_over_as_it_is():
    name = 'O\'Elm "& Co" $(HOME) $HOME; `id`, 100%'
    command = ["make", "-n", "erase", f"FIRM={name}", "YES=1", "CONFIG=prod"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert '--firm "$FIRM" --matter "$MATTER" --yes --config prod' in done.stdout


def test_no_name_erases_nothing(erase, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["erase.py", "--firm", " \u200b "])
    assert erase.main() == 1
    assert capsys.readouterr().err == 'erase: say whose lines are to go: FIRM="..."\n'
