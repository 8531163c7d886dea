import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import lines_frame
from suspicious_lines import encoder, peers
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder, Fitting, TooManyCombinationsError, due

TRAIN = lines_frame(2_000)
ENCODER = Encoder.fit(TRAIN)


def test_features_are_named_numeric_and_without_identifiers():
    encoded = ENCODER.encode(TRAIN)
    assert encoded.shape == (2_000, len(ENCODER.features))
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    assert not any("matter_number" in name or "firm" in name for name in ENCODER.features)


def test_json_is_the_whole_encoder():
    again = Encoder.from_json(ENCODER.to_json())
    assert again == ENCODER
    np.testing.assert_array_equal(again.encode(TRAIN), ENCODER.encode(TRAIN))


def test_another_version_is_refused():
    document = json.loads(ENCODER.to_json()) | {"version": 0}
    with pytest.raises(ValueError, match="version 0"):
        Encoder.from_json(json.dumps(document))


lines = st.fixed_dictionaries(
    {
        "matter_type": st.sampled_from(["Antitrust", "IPO"]),
        "resource": st.sampled_from(["Partner", "Junior", "Paralegal"]),
        "activity": st.sampled_from(["Phone Call", "Attend Court"]),
        "minutes": st.floats(0.1, 10_000),
        "fee": st.floats(0, 2_000),
        "total": st.floats(0, 1_000_000),
    }
)


@given(st.lists(lines, min_size=1, max_size=20))
def test_decode_gives_the_plainest_line_with_the_same_features(rows):
    encoded = ENCODER.encode(pd.DataFrame(rows))
    decoded = ENCODER.decode(encoded)
    assert decoded[CATEGORIES].values.tolist() == pd.DataFrame(rows)[CATEGORIES].values.tolist()
    again = ENCODER.encode(decoded)
    # Of a bill of cents, rounding hides by how much it does not add up.
    hidden = np.abs(decoded["total"] - due(decoded)) <= 0.02
    arithmetic = ENCODER.features.index("total_off_arithmetic")
    encoded[hidden, arithmetic] = again[hidden, arithmetic]
    np.testing.assert_allclose(again, encoded, atol=0.01)


@given(st.lists(lines, min_size=1, max_size=20))
def test_every_feature_is_within_its_documented_limits(rows):
    encoded = pd.DataFrame(ENCODER.encode(pd.DataFrame(rows)), columns=ENCODER.features)
    assert (encoded["minutes_above_peers"] >= 0).all()
    assert encoded["minutes_beyond_peers"].between(0, 6).all()
    assert encoded[["fee_off_card", "total_off_arithmetic"]].abs().le(6).all(axis=None)
    for column in CATEGORIES:
        slots = [name for name in ENCODER.features if name.startswith(f"{column}=")]
        np.testing.assert_allclose(encoded[slots].sum(axis=1), 0.3)


def test_an_unknown_category_has_its_own_feature_and_is_counted():
    odd = TRAIN.head(3).astype({"resource": object}).assign(resource=["Robot", "Junior", "Robot"])
    encoded = pd.DataFrame(ENCODER.encode(odd), columns=ENCODER.features)
    np.testing.assert_allclose(encoded["resource=other"], [0.3, 0, 0.3])
    known = ENCODER.encode(TRAIN)[:, NUMERIC_FEATURES.index("rarity")]
    assert encoded["rarity"][0] > known.max()
    assert ENCODER.unknown(odd) == {"matter_type": 0, "resource": 2, "activity": 0}
    assert list(ENCODER.decode(ENCODER.encode(odd))["resource"]) == [None, "Junior", None]


def test_peers_back_off_to_a_group_that_is_large_enough():
    rare = pd.concat([TRAIN, TRAIN.head(3).assign(matter_type="Rare")], ignore_index=True)
    rare["matter_type"] = rare["matter_type"].astype("category")
    fitted = Encoder.fit(rare)
    assert (fitted.minutes.of(rare.tail(3))["lines"] >= 20).all()


def test_an_ordinary_line_is_plain_and_each_kind_of_error_moves_its_own_feature():
    fine = TRAIN[~TRAIN["error"].astype(bool)]
    plain = pd.DataFrame(ENCODER.encode(fine), columns=ENCODER.features)
    assert (plain[["fee_off_card", "total_off_arithmetic"]] == 0).all(axis=None)
    assert (plain["minutes_beyond_peers"] == 0).mean() > 0.9
    altered = {
        "minutes_beyond_peers": fine.assign(minutes=fine["minutes"] * 10, total=fine["total"] * 10),
        "fee_off_card": fine.assign(fee=fine["fee"] * 1.5, total=fine["total"] * 1.5),
        "total_off_arithmetic": fine.assign(total=fine["total"] * 1.1),
    }
    for feature, lines in altered.items():
        moved = pd.DataFrame(ENCODER.encode(lines), columns=ENCODER.features) - plain
        assert (moved[feature] > 0.5).mean() > 0.95
        others = [name for name in altered if name != feature]
        assert (moved[others] == 0).all(axis=None)


def test_the_documented_formulas():
    line = TRAIN.head(1).assign(minutes=300.0, fee=200.0, total=1100.0)
    encoded = pd.Series(ENCODER.encode(line)[0], index=ENCODER.features)
    peers = {name: values[0] for name, values in ENCODER.minutes.of(line).items()}
    card = {name: values[0] for name, values in ENCODER.fee.of(line).items()}
    z = (np.log(300) - peers["median"]) / peers["spread"]
    assert encoded["minutes_above_peers"] == pytest.approx(0.6 * z, rel=1e-5)
    ceiling = min(peers["ceiling"], peers["median"] + 2.5 * peers["spread"])
    beyond = np.clip((np.log(300) - ceiling) / peers["spread"], 0, 6)
    assert encoded["minutes_beyond_peers"] == pytest.approx(beyond, rel=1e-5)
    off = max(np.log(200) - card["ceiling"], 0) + min(np.log(200) - card["floor"], 0)
    assert encoded["fee_off_card"] == pytest.approx(np.clip(10 * off, -6, 6), rel=1e-5)
    assert encoded["total_off_arithmetic"] == pytest.approx(6)
    assert 100 * np.log(1100 / 1000) > 6


def test_nothing_charged_is_no_arithmetic_error():
    free = TRAIN.head(2).assign(fee=[0.0, 0.0], total=[0.0, 5.0])
    encoded = pd.DataFrame(ENCODER.encode(free), columns=ENCODER.features)
    assert list(encoded["total_off_arithmetic"]) == [0, 6]
    assert np.isfinite(encoded).all(axis=None)


@given(st.lists(lines, min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_lines_in_parts_give_the_encoder_of_all_of_them(rows, cuts):
    frame = pd.DataFrame(rows)
    edges = [0, *sorted(cuts), len(frame)]
    parts = [frame.iloc[start:end] for start, end in itertools.pairwise(edges) if start < end]
    fitting = Fitting()
    for part in reversed(parts):
        fitting.add(part)
    assert fitting.encoder().to_json() == Encoder.fit(frame).to_json()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80), st.sampled_from([0.01, 0.025, 0.05, 0.5, 0.95, 0.985]))
def test_quantiles_of_counted_numbers_are_those_of_the_numbers(numbers, share):
    logs = np.log(np.array(numbers) + 0.3)
    values, counts = np.unique(logs, return_counts=True)
    assert peers._quantile(values, counts, share) == np.quantile(logs, share)


def test_columns_that_name_single_lines_are_refused(monkeypatch):
    monkeypatch.setattr(encoder, "MOST_COMBINATIONS", 3)
    with pytest.raises(TooManyCombinationsError):
        Encoder.fit(TRAIN)


def test_combinations_of_unknown_categories_are_not_kept(monkeypatch):
    monkeypatch.setattr(encoder, "MOST_CATEGORIES", 1)
    few = Encoder.fit(TRAIN)
    assert len(few.combinations) == 1
    assert few.lines == len(TRAIN)
    assert few.rarity(TRAIN).max() == pytest.approx(np.log1p(len(TRAIN)))


def test_texts_of_pandas_may_be_in_chunks():
    """As those of judged lines are, which come from several files."""
    texts = pd.concat([pd.Series(["a", "b"], dtype="str"), pd.Series(["b", None], dtype="str")], ignore_index=True)
    keys, place = peers.groups(pd.DataFrame({"resource": texts}), ["resource"])
    assert [keys[number] for number in place] == [("a",), ("b",), ("b",), (None,)]
