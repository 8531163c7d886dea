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
