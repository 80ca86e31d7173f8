"""What is known of kafka-python's private members is known of one version."""

from importlib.util import module_from_spec

import kafka
import pytest

from app.kafka import quirks


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "__version__", "another")
    assert quirks.__spec__ is not None
    assert quirks.__spec__.loader is not None
    with pytest.raises(ImportError, match="another"):
        quirks.__spec__.loader.exec_module(module_from_spec(quirks.__spec__))
