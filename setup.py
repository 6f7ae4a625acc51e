"""What pyproject.toml has no words for: the compiled loops' names, the wheel's tag, and the app's files in the wheel.

The loops (`*.c`) know nothing of Python: `peftcalc/compiled.py` opens them through ctypes. So they need no name and no
wheel of a Python version, only of a platform. And they are optional: where nothing compiles them, a wheel holds only
Python and must say so, or pip would keep it from the very machines that have no compiler.
"""

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

APP = ("app.py", "pages/*.py", "notebooks/*.ipynb", ".streamlit/config.toml")
"""What the app has outside the package; in a wheel it lies in `peftcalc/app/`, where `peftcalc/app_folder.py` looks."""

DECLARED = "pyproject.toml"
"""Where Streamlit finds that the package has components for browsers; in a wheel it looks inside the package."""


class BuildLoops(build_ext):
    """Names a compiled file `_four_bits.so`, without a Python version: the last suffix that every Python looks for."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + EXTENSION_SUFFIXES[-1]


class BuildPython(build_py):
    """Lays the app's files into the package. An editable install has no need: it finds them in the repository."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern in APP:
            files = sorted(Path().glob(pattern))
            if not files:
                raise FileNotFoundError(f"the app's {pattern} is missing beside setup.py")
            for file in files:
                self._lay(file, Path("app", file))
        self._lay(Path(DECLARED), Path(DECLARED))

    def _lay(self, file: Path, place: Path) -> None:
        copy = Path(self.build_lib, "peftcalc", place)
        self.mkpath(str(copy.parent))
        self.copy_file(str(file), str(copy))


class Wheel(bdist_wheel):
    """Tags the wheel by what was built, not by what was asked for."""

    def run(self) -> None:
        if not self.skip_build:
            self.run_command("build")
        loops = self.get_finalized_command("build_ext").get_outputs()
        if not any(Path(loop).exists() for loop in loops):  # no compiler: setuptools forgives that, and tells nobody
            self.distribution.ext_modules = None
            self.root_is_pure = True
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """Any Python 3 and no Python ABI; the platform only where there are loops."""
        return "py3", "none", super().get_tag()[2]


if __name__ == "__main__":
    setup(cmdclass={"build_ext": BuildLoops, "build_py": BuildPython, "bdist_wheel": Wheel})
