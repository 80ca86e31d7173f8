"""What is known of kafka-python's private members is known of one version."""

import importlib

import kafka
import pytest

from app.kafka import quirks


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kafka, "__version__", "another")
        with pytest.raises(ImportError, match="another"):
            importlib.reload(quirks)
    importlib.reload(quirks)
