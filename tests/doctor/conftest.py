"""One small adapter for the tests that change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapter_files import write_adapter


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A LoRA of rank 6 and α 15 on q_proj and v_proj of a small Llama."""
    write_adapter(tmp_path / "saved")
    return tmp_path / "saved"
