import importlib
import pkgutil

import msgspec
import numpy as np
import pytest

import suspicious_lines
from suspicious_lines import store
from suspicious_lines.documents import Document
from suspicious_lines.model_messages import LiveModel, ModelVersion


class Base(Document):
    first: str = "ä"
    second: float


class Extended(Base):
    third: list[Base] = []
    fourth: int | None


def test_fields_are_written_in_the_order_of_their_declaration():
    assert Extended.__struct_fields__ == ("first", "second", "third", "fourth")
    told = Extended(second=2.0, fourth=None, third=[Base(second=1e-9)])
    assert store.json_text({"told": told, "more": []}) == (
        '{\n  "told": {\n    "first": "ä",\n    "second": 2.0,\n    "third": [\n      {\n        "first": "ä",\n'
        '        "second": 1e-09\n      }\n    ],\n    "fourth": null\n  },\n  "more": []\n}\n'
    )


def test_documents_are_made_by_keyword_and_stay_as_they_are():
    with pytest.raises(TypeError):
        Base("x", 2.0)
    with pytest.raises(AttributeError):
        Base(second=2.0).second = 3.0


def test_a_number_of_numpy_is_not_written_as_something_else():
    with pytest.raises(TypeError, match=r"numpy\.float64"):
        store.json_text(Base(second=np.float64(2.0)))


def subclasses(of: type) -> set[type]:
    return {of}.union(*map(subclasses, of.__subclasses__()))


def test_all_documents_can_be_read_and_described():
    for module in pkgutil.iter_modules(suspicious_lines.__path__):
        importlib.import_module(f"suspicious_lines.{module.name}")
    found = [each for each in subclasses(Document) if each.__module__.startswith("suspicious_lines.")]
    assert len(found) > 150
    # What msgspec would say of an annotation at the first document that is read; patterns must end where the text does.
    schemas = msgspec.json.schema_components(found)[1]
    patterns = [each for schema in schemas.values() for each in patterns_in(schema)]
    assert len(patterns) > 100
    assert [pattern for pattern in patterns if "$" in pattern or not pattern.endswith(r"\Z")] == []


def patterns_in(schema) -> list[str]:
    if isinstance(schema, list):
        return [found for each in schema for found in patterns_in(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    return own + [found for each in schema.values() for found in patterns_in(each)]


def test_the_live_model_of_another_version_is_read():
    version = {"run": "a", "endpoint_name": "e", "max_concurrency": 1, "threshold": 3, "encoder_key": "k"}
    text = store.json_text(version | {"promoted_at": "2026-11-24", "later": {"more": 1}})
    live = msgspec.json.decode(text, type=LiveModel)
    assert (live.threshold, live.history, live.challenger) == (3.0, [], None)
    kept = msgspec.convert(live, ModelVersion, from_attributes=True)
    assert type(kept) is ModelVersion
    assert list(msgspec.to_builtins(kept)) == [*version, "promoted_at", "beside"]
