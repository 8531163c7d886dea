import json

import msgspec
import pytest

from frames import lines_frame
from suspicious_lines.encoder import Encoder
from suspicious_lines.errors import SettingsError
from suspicious_lines.rules import Rules

TRAIN = lines_frame(1_000)
ENCODER = Encoder.fit(TRAIN)
FINE = TRAIN[~TRAIN["error"].astype(bool) & (TRAIN["resource"] == "Junior")].head(1)


def hits(lines, rules=None):
    rules = rules or Rules.default()
    return [name for name, hit in rules.hits(lines, ENCODER).items() if hit[0]]


def changed(**rules) -> Rules:
    document = json.loads(msgspec.json.encode(Rules.default()))
    for name, change in rules.items():
        document[name] |= change
    return Rules.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"total": 1e4}, ["arithmetic"]),
        ({"repeats": 7}, ["duplicate"]),
        ({"fee": 200.0, "minutes": 60.0, "total": 200.0}, ["rate"]),
        ({"fee": 100.0, "minutes": 60.0, "total": 100.0}, ["rate"]),
        ({"minutes": 480.0, "total": 1200.0, "activity": "Phone Call"}, ["minutes_cap"]),
        ({"minutes": 660.0, "total": 1650.0, "activity": "Attend Court"}, ["minutes_cap", "day"]),
        ({"minutes": 480.0, "total": 1200.0, "activity": "Something New"}, []),
    ],
)
def test_each_rule_hits_its_own_kind(change, found):
    line = FINE.astype({"activity": object}).assign(**change)
    assert hits(line) == found


def test_a_cent_of_rounding_is_no_error_and_two_are():
    assert hits(FINE.assign(minutes=10.0, fee=150.0, total=25.01)) == []
    assert hits(FINE.assign(minutes=10.0, fee=150.0, total=25.02)) == ["arithmetic"]


def test_every_rule_can_be_switched_off_and_set():
    wrong = FINE.assign(total=1e4)
    assert hits(wrong, changed(arithmetic={"enabled": False})) == []
    assert hits(wrong, changed(arithmetic={"tolerance": 1e5})) == []
    dear = FINE.assign(fee=200.0, minutes=60.0, total=200.0)
    assert hits(dear, changed(rate={"cards": {"Junior": [100, 250]}})) == []
    assert hits(dear, changed(rate={"tolerance": 0.5})) == []
    assert "arithmetic" not in changed(arithmetic={"ranks": False}).ranking()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "missing required field `arithmetic`"),
        ("not json", "JSON is malformed"),
        (msgspec.json.encode(Rules.default()).decode().replace('"tolerance":0.03', '"tolerance":-1'), "rate.tolerance"),
        (msgspec.json.encode(Rules.default()).decode().replace('"day"', '"daze"'), "unknown field `daze`"),
    ],
)
def test_a_wrong_configuration_names_its_fault(text, told):
    with pytest.raises(SettingsError, match=r"config/rules\.json is wrong") as wrong:
        Rules.from_json(text)
    assert told in str(wrong.value)


def test_a_wrong_entry_among_many_is_named():
    with pytest.raises(SettingsError, match=r"Expected `array` of length 2, got 1 - at `\$\.rate\.cards\.Senior`"):
        changed(rate={"cards": {"Junior": [100, 250], "Senior": [100]}})


def test_a_number_may_be_written_as_text():
    assert changed(rate={"tolerance": "0.5", "cards": {"Junior": ["100", "250"]}}).rate.tolerance == 0.5
