import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frames import lines_frame
from suspicious_lines.encoder import CATEGORIES, NUMERIC_FEATURES, Encoder

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
def test_decode_inverts_encode(rows):
    frame = pd.DataFrame(rows)
    decoded = ENCODER.decode(ENCODER.encode(frame))
    assert decoded[CATEGORIES].values.tolist() == frame[CATEGORIES].values.tolist()
    for column in ("minutes", "fee", "total"):
        np.testing.assert_allclose(decoded[column], frame[column], rtol=2e-3, atol=2e-3)


def test_an_unknown_category_has_its_own_feature_and_is_counted():
    odd = TRAIN.head(3).astype({"resource": object}).assign(resource=["Robot", "Junior", "Robot"])
    encoded = pd.DataFrame(ENCODER.encode(odd), columns=ENCODER.features)
    assert list(encoded["resource=other"]) == [1, 0, 1]
    assert ENCODER.unknown(odd) == {"matter_type": 0, "resource": 2, "activity": 0}
    assert list(ENCODER.decode(ENCODER.encode(odd))["resource"]) == [None, "Junior", None]


def test_peers_back_off_to_a_group_that_is_large_enough():
    rare = pd.concat([TRAIN, TRAIN.head(3).assign(matter_type="Rare")], ignore_index=True)
    rare["matter_type"] = rare["matter_type"].astype("category")
    encoder = Encoder.fit(rare)
    groups = encoder.minutes.of(rare.tail(3))
    assert (groups[:, 0] >= 20).all()


def test_a_line_like_its_peers_is_near_zero_and_an_inflated_one_is_not():
    typical = TRAIN[~TRAIN["error"].astype(bool)]
    encoded = ENCODER.encode(typical)[:, : len(NUMERIC_FEATURES)]
    assert np.median(np.abs(encoded[:, 0])) < 1
    inflated = ENCODER.encode(typical.assign(minutes=typical["minutes"] * 10))
    assert (inflated[:, 0] > encoded[:, 0] + 3).all()
