"""Where the app's own files lie: `app.py`, `pages/`, `notebooks/` and `.streamlit/`, which stand outside the package.

In a repository they lie beside the package; `setup.py` lays them into a wheel as `peftcalc/app/`.
"""

from __future__ import annotations

from pathlib import Path


def app_folder(package: Path = Path(__file__).parent) -> Path:
    """The folder from which the app starts.

    Args:
        package: the folder of the package.

    Raises:
        ValueError: neither place has them.

    >>> (app_folder() / "pages" / "home.py").exists()
    True
    """
    for folder in (package / "app", package.parent):
        if (folder / "app.py").is_file() and (folder / "pages" / "home.py").is_file():
            return folder
    raise ValueError("this installation lacks the app's pages: install the wheel, or run the app in a repository")
