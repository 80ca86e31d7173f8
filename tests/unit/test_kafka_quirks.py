"""What is known of kafka-python's private members is known of one version."""

import runpy

import kafka
import pytest

from app.kafka import quirks


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "__version__", "another")
    with pytest.raises(ImportError, match="another"):
        runpy.run_path(str(quirks.__file__))
