import pytest

from suspicious_lines.errors import SettingsError
from suspicious_lines.settings import PreprocessSettings, TrainingSettings


def test_settings_come_from_the_environment():
    assert PreprocessSettings.from_environment().lines_per_part == 5000


def test_a_missing_and_a_wrong_variable_name_themselves(monkeypatch):
    monkeypatch.delenv("DATA_BUCKET")
    monkeypatch.setenv("NUM_TREES", "7")
    with pytest.raises(SettingsError) as wrong:
        TrainingSettings.from_environment()
    assert "DATA_BUCKET" in str(wrong.value)
    assert "NUM_TREES" in str(wrong.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESOURCE_PREFIX", "suspicious-lines\n"),
        ("TRAINING_GROUP_ID", "\n"),
        ("DATA_KEY_ARN", "arn:aws:kms:us-east-1:000000000000:key/1\n"),
        ("POLL_SECONDS", "1.5"),
        ("POLL_SECONDS", ""),
    ],
)
def test_a_variable_that_does_not_fit_is_the_only_one_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^The function's environment is wrong: {name}: [^;]*$"):
        TrainingSettings.from_environment()
