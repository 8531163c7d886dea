from io import BytesIO

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frames import lines_frame
from suspicious_lines import explain as explaining
from suspicious_lines.encoder import NUMERIC_FEATURES, Encoder
from suspicious_lines.explain import explain
from suspicious_lines.features import features_csv
from suspicious_lines.ranking import Reference
from suspicious_lines.rules import Rules

TRAIN = lines_frame(3_000)
# Partners leave the phone calls of antitrust matters to others, but for two.
_LEFT = (TRAIN["resource"] == "Partner") & (TRAIN["activity"] == "Phone Call") & (TRAIN["matter_type"] == "Antitrust")
TRAIN = TRAIN[~_LEFT | (_LEFT.cumsum() <= 2)].reset_index(drop=True)
ENCODER = Encoder.fit(TRAIN)
RULES = Rules.default()
# What is usual here: 55 minutes, of which nearly all take 30 to 100, and one rate a resource.
FINE = TRAIN[~TRAIN["error"].to_numpy(bool) & (TRAIN["resource"] == "Junior") & TRAIN["minutes"].between(50, 60)]
FINE = FINE[(FINE["matter_type"] == "Antitrust") & (FINE["activity"] == "Attend Court")].astype(
    dict.fromkeys(["matter_type", "resource", "activity"], object)
)


class Endpoint:
    """Scores a line by how far its numeric features are from those of an ordinary one, and keeps what was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, body: bytes) -> list[float]:
        self.bodies.append(body)
        return self.scores(body)

    @staticmethod
    def scores(body: bytes) -> list[float]:
        if not body:
            return []
        numeric = np.loadtxt(BytesIO(body), delimiter=",", ndmin=2)[:, : len(NUMERIC_FEATURES)]
        return list(0.7 + np.abs(numeric).sum(axis=1) / 10)

    @property
    def lines(self) -> int:
        return sum(body.count(b"\n") for body in self.bodies)


KNOWN = TRAIN.tail(500)
KNOWN_SCORES = np.array(Endpoint.scores(features_csv(ENCODER, KNOWN)))


def explained(lines: pd.DataFrame, rules: Rules = RULES, endpoint: Endpoint | None = None) -> pd.DataFrame:
    reference = Reference.of(KNOWN_SCORES, rules.hits(KNOWN, ENCODER), rules.ranking())
    flagged = lines.assign(model_score=Endpoint.scores(features_csv(ENCODER, lines)))
    told = explain(flagged, rules.hits(lines, ENCODER), ENCODER, rules, reference, endpoint or Endpoint())
    assert list(told.index) == list(lines.index)
    return told


def no_rules() -> Rules:
    return msgspec.convert(
        {name: rule | {"enabled": False} for name, rule in msgspec.to_builtins(RULES).items()}, Rules
    )


def long(lines: pd.DataFrame, times: float = 8) -> pd.DataFrame:
    minutes = lines["minutes"] * times
    return lines.assign(minutes=minutes, total=np.round(minutes / 60 * lines["fee"], 2))


def dear(lines: pd.DataFrame, fee: float = 200.0) -> pd.DataFrame:
    return lines.assign(fee=fee, total=np.round(lines["minutes"] / 60 * fee, 2))


def padded(lines: pd.DataFrame) -> pd.DataFrame:
    return lines.assign(total=np.round(lines["total"] * 1.3, 2))


def misplaced(lines: pd.DataFrame) -> pd.DataFrame:
    """A partner, at a partner's rate, on the phone calls of an antitrust matter."""
    return dear(lines.assign(resource="Partner", activity="Phone Call"), 600.0)


ALTERED = {"minutes": long, "fee": dear, "total": padded, "resource": misplaced}


@pytest.mark.parametrize("rules", [RULES, no_rules()], ids=["with rules", "without rules"])
@pytest.mark.parametrize("field", ALTERED)
def test_the_altered_field_comes_first(field, rules):
    told = explained(ALTERED[field](FINE.head(20)), rules)
    assert list(told["field"]) == [field] * 20
    if field != "resource":
        assert all(max(shares, key=shares.get) == field for shares in told["shares"])


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from(list(ALTERED)), min_size=1, max_size=4, unique=True),
    st.integers(0, len(FINE) - 1),
)
def test_shares_are_positive_and_sum_to_one(fields, place):
    line = FINE.iloc[[place]]
    for field in fields:
        line = ALTERED[field](line)
    (shares,) = explained(line)["shares"]
    assert set(shares) <= set(explaining.FIELDS)
    assert all(share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1, abs=0.005)


def test_two_altered_fields_share():
    both = long(dear(FINE.head(1)))
    (shares,) = explained(both)["shares"]
    assert shares["minutes"] > 0.2
    assert shares["fee"] > 0.2
    assert "activity" not in shares


def test_the_sentence_names_the_numbers():
    line = FINE.head(1).assign(minutes=505.0, fee=150.0, total=1262.5)
    (told,) = explained(line).itertuples()
    low, high = round(told.expected_low), round(told.expected_high)
    assert told.reason == f"505 minutes; usual for Junior, Attend Court, Antitrust: {low} to {high}"
    assert 20 < low < 50 < 60 < high < 130

    (told,) = explained(FINE.head(1).assign(minutes=60.0, fee=200.0, total=200.0)).itertuples()
    assert told.reason == "Rate of 200.00; usual for Junior: 150.00 to 150.00"
    assert (told.expected_low, told.expected_high) == (150, 150)

    (told,) = explained(FINE.head(1).assign(minutes=60.0, fee=150.0, total=1190.0)).itertuples()
    assert told.reason == "Total of 1,190.00, but 60 minutes at 150.00 make 150.00"
    assert (told.expected_low, told.expected_high) == (150, 150)

    (told,) = explained(misplaced(FINE.head(1))).itertuples()
    assert told.reason == "Partner on Phone Call is rare in Antitrust"
    assert np.isnan([told.expected_low, told.expected_high]).all()


def test_at_stake_is_what_the_line_costs_above_what_is_usual():
    usual = np.exp(ENCODER.minutes.of(FINE.head(1))["median"][0])
    line = FINE.head(1).assign(minutes=505.0, fee=150.0, total=1262.5)
    assert explained(line)["at_stake"].item() == pytest.approx((505 - usual) / 60 * 150, abs=0.01)
    line = FINE.head(1).assign(minutes=60.0, fee=200.0, total=200.0)
    assert explained(line)["at_stake"].item() == 50
    line = FINE.head(1).assign(minutes=60.0, fee=150.0, total=1190.0)
    assert explained(line)["at_stake"].item() == 1040
    # Nothing of these is due.
    assert explained(misplaced(line))["at_stake"].item() == 600
    assert explained(line.assign(total=150.0, repeats=7))["at_stake"].item() == 150


def test_nothing_is_at_stake_in_a_line_that_is_too_cheap():
    cheap = FINE.head(1).assign(minutes=60.0, fee=60.0, total=60.0)
    (told,) = explained(cheap).itertuples()
    assert (told.field, told.at_stake) == ("fee", 0)
    short = FINE.head(1).assign(minutes=60.0, fee=150.0, total=100.0)
    (told,) = explained(short).itertuples()
    assert (told.field, told.at_stake) == ("total", 0)


wild = st.fixed_dictionaries(
    {
        "matter_type": st.sampled_from(["Antitrust", "IPO", "Divorce"]),
        "resource": st.sampled_from(["Partner", "Junior", "Paralegal", "Robot"]),
        "activity": st.sampled_from(["Phone Call", "Attend Court", "Séance"]),
        "minutes": st.floats(0.01, 100_000),
        "fee": st.floats(0, 100_000),
        "total": st.floats(0, 100_000_000),
        "repeats": st.sampled_from([0, 0, 2]),
    }
)


@settings(deadline=None, max_examples=25)
@given(st.lists(wild, min_size=1, max_size=10))
def test_any_line_gets_a_field_a_sentence_and_an_amount_within_its_total(rows):
    lines = pd.DataFrame(rows).assign(matter_number="1", error=pd.NA)
    told = explained(lines.astype({"error": "boolean"}))
    assert told["field"].isin([*explaining.FIELDS, "duplicate"]).all()
    assert told["reason"].str.len().gt(0).all()
    assert (told["at_stake"] >= 0).all()
    assert (told["at_stake"] <= lines["total"] + 0.005).all()


def test_an_unknown_category_is_told_as_an_odd_combination():
    (told,) = explained(FINE.head(1).assign(resource="Robot")).itertuples()
    assert told.field == "resource"
    assert told.reason == "Robot on Attend Court is rare in Antitrust"


def test_nothing_charged_for_work_is_a_rate_off_the_card():
    (told,) = explained(FINE.head(1).assign(fee=0.0, total=0.0)).itertuples()
    assert (told.field, told.at_stake) == ("fee", 0)
    assert told.reason == "Rate of 0.00; usual for Junior: 150.00 to 150.00"


def test_a_total_without_a_rate_is_told():
    (told,) = explained(FINE.head(1).assign(minutes=60.0, fee=0.0, total=75.0)).itertuples()
    assert "total of 75.00, but 60 minutes at 0.00 make 0.00" in told.reason
    assert "Rate of 0.00" in told.reason


def test_a_duplicate_names_the_first_line():
    (told,) = explained(FINE.head(1).assign(repeats=1234)).itertuples()
    assert told.field == "duplicate"
    assert told.reason == "Billed before: the same as line 1234"


def test_a_further_rule_is_told_once():
    dear_duplicate = dear(FINE.head(1)).assign(repeats=1234)
    (told,) = explained(dear_duplicate).itertuples()
    sentences = told.reason.lower().split("; also: ")
    assert len(sentences) == 2
    assert "billed before: the same as line 1234" in sentences
    # The cap and the day are two rules on minutes.
    day = long(dear(FINE.head(1)), 20).assign(activity="Phone Call", repeats=1234)
    (told,) = explained(day).itertuples()
    sentences = told.reason.lower().split("; also: ")
    assert len(sentences) == len(set(sentences)) == 3


def test_a_line_costs_three_variants_and_a_rare_combination_those_of_its_categories():
    endpoint = Endpoint()
    explained(long(FINE.head(5)), endpoint=endpoint)
    assert (len(endpoint.bodies), endpoint.lines) == (1, 15)
    endpoint = Endpoint()
    explained(misplaced(FINE.head(5)), endpoint=endpoint)
    others = sum(len(names) - 1 for names in ENCODER.categories.values())
    assert (len(endpoint.bodies), endpoint.lines) == (1, 5 * (3 + others))


def test_a_category_is_tried_against_the_most_frequent_others_only(monkeypatch):
    monkeypatch.setattr(explaining, "MOST_CATEGORIES", 1)
    endpoint = Endpoint()
    explained(misplaced(FINE.head(1)), endpoint=endpoint)
    frequent = [next(iter(names)) for names in ENCODER.categories.values()]
    line = ["Antitrust", "Partner", "Phone Call"]
    assert endpoint.lines == 3 + sum(name != ours for name, ours in zip(frequent, line, strict=True))


def test_lines_beyond_the_most_are_told_without_asking_the_endpoint(monkeypatch):
    monkeypatch.setattr(explaining, "MOST_LINES", 4)
    lines = pd.concat([long(FINE.head(4)), long(FINE.iloc[4:7]), dear(FINE.iloc[7:10]), padded(FINE.iloc[10:13])])
    endpoint = Endpoint()
    told = explained(lines, no_rules(), endpoint)
    assert endpoint.lines == 12
    assert list(told["field"]) == ["minutes"] * 7 + ["fee"] * 3 + ["total"] * 3
    assert [bool(shares) for shares in told["shares"]] == [True] * 4 + [False] * 9
    assert (told["at_stake"] > 0).all()
    assert told["reason"].str.contains(r"\d").all()


@pytest.mark.parametrize("most", [0, 40, 200, 1_000])
def test_the_requests_are_bounded_in_bytes(monkeypatch, most):
    monkeypatch.setattr(explaining, "MOST_BYTES", most)
    endpoint = Endpoint()
    told = explained(pd.concat([misplaced(FINE.head(2)), long(FINE.iloc[2:30])]), no_rules(), endpoint)
    assert sum(len(body) for body in endpoint.bodies) <= most
    assert list(told["field"]) == ["resource"] * 2 + ["minutes"] * 28
    assert (told["reason"].str.len() > 0).all()


def test_no_line_is_no_request():
    endpoint = Endpoint()
    told = explained(FINE.head(0), endpoint=endpoint)
    assert told.empty
    assert list(told.columns) == ["field", "shares", "reason", "expected_low", "expected_high", "at_stake"]
    assert endpoint.bodies == []
