"""What the scripts that store results share: numbers rounded, content packed, and where it was made."""

from __future__ import annotations

import gzip
import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any


def made(*packages: str) -> str:
    """Date, machine and versions, in words."""
    return ", ".join([f"{date.today()}", platform.machine(), *(f"{name} {version(name)}" for name in packages)])


def write(path: Path, content: Any) -> None:
    """Content as packed JSON; equal content gives equal bytes, since no date is packed with it."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0))
    print(f"{path.name}: {path.stat().st_size:,} bytes", flush=True)


def rounded(value: Any) -> Any:
    """Every float in it with five significant figures."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
