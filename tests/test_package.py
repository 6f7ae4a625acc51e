"""The package's own files: what setup.py tags and lays into a wheel, and where the app finds its pages.

`scripts/prove_wheel.py` proves the rest, with pip and new environments, as a step of `.ci/run`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import pytest

import peftcalc
from peftcalc.app_folder import app_folder
from peftcalc.cli import main
from peftcalc.ui import pages
from peftcalc.ui.components import mount

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which("gcc")


def small_project(folder: Path) -> Path:
    """The repository with one loop and no module in its package: everything but those is the real one."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "app.py", "pages", "notebooks", ".streamlit"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    quant = folder / "peftcalc" / "quant"
    quant.mkdir(parents=True)
    for package in (quant.parent, quant):
        (package / "__init__.py").touch()
    (quant.parent / "py.typed").touch()
    (quant / "four_bits.c").write_text("int one(void) { return 1; }\n")
    return folder


def built_wheel(project: Path, compiler: str) -> Path:
    command = [sys.executable, "setup.py", "-q", "bdist_wheel"]
    subprocess.run(command, cwd=project, env={**os.environ, "CC": compiler}, check=True, capture_output=True)
    return next((project / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built where nothing compiles."""
    return built_wheel(small_project(tmp_path_factory.mktemp("project")), "/bin/false")


def test_a_wheel_without_loops_is_pure(pure: Path) -> None:
    assert pure.name.endswith("-py3-none-any.whl")
    held = ZipFile(pure)
    assert b"Root-Is-Purelib: true" in held.read(f"peftcalc-{peftcalc.__version__}.dist-info/WHEEL")
    assert not [name for name in held.namelist() if ".data/" in name or name.endswith((".so", ".c"))]


@pytest.mark.skipif(COMPILER is None, reason="needs gcc")
def test_a_wheel_with_a_loop_names_the_platform_and_no_python(tmp_path: Path) -> None:
    wheel = built_wheel(small_project(tmp_path), "gcc")
    assert re.search(r"-py3-none-(?!any)\w+\.whl$", wheel.name)
    held = ZipFile(wheel)
    assert b"Root-Is-Purelib: false" in held.read(f"peftcalc-{peftcalc.__version__}.dist-info/WHEEL")
    loops = [name for name in held.namelist() if name.startswith("peftcalc/quant/_four_bits")]
    assert loops == [f"peftcalc/quant/_four_bits{EXTENSION_SUFFIXES[-1]}"]


def test_a_wheel_holds_the_app_and_the_mark_of_its_types(pure: Path) -> None:
    held = ZipFile(pure)
    assert "peftcalc/py.typed" in held.namelist()
    files = ["notebooks/01_count.ipynb", *(f"pages/{entry.file}" for entry in pages.PAGES)]
    for file in ["app.py", ".streamlit/config.toml", *files]:
        assert held.read(f"peftcalc/app/{file}") == (ROOT / file).read_bytes()


def test_a_wheel_declares_the_components_where_streamlit_looks(pure: Path) -> None:
    declared = tomllib.loads(ZipFile(pure).read("peftcalc/pyproject.toml").decode())
    [component] = declared["tool"]["streamlit"]["component"]["components"]
    assert f"{declared['project']['name']}.{component['name']}" == mount.NAME
    assert (ROOT / "peftcalc" / component["asset_dir"] / f"{component['name']}.js").is_file()


def test_a_wheel_without_the_pages_is_not_built(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    shutil.rmtree(project / "pages")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        built_wheel(project, "/bin/false")
    assert b"pages/*.py is missing" in failed.value.stderr


def test_the_app_is_found_in_a_repository_and_in_a_wheel(tmp_path: Path) -> None:
    assert app_folder() == ROOT
    assert pages.FOLDER == ROOT / "pages"
    package = tmp_path / "site-packages" / "peftcalc"
    shutil.copytree(ROOT / "pages", package / "app" / "pages")
    shutil.copy(ROOT / "app.py", package / "app")
    assert app_folder(package) == package / "app"


def test_a_package_without_the_pages_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the app's pages"):
        app_folder(tmp_path / "peftcalc")


def test_without_streamlit_the_app_says_in_one_line_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.call", lambda *_, **__: pytest.fail("it started"))
    assert main(["app"]) == 2
    assert capsys.readouterr().err == "peftcalc app: the app needs streamlit: pip install 'peftcalc[app]'\n"


def test_the_app_starts_beside_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr("subprocess.call", lambda command, cwd, env=None: started.append((command[1:], cwd)) or 0)
    with pytest.raises(SystemExit):
        main(["app", "--port", "8600"])
    assert started == [(["-m", "streamlit", "run", "app.py", "--server.port", "8600"], ROOT)]
    assert (ROOT / ".streamlit" / "config.toml").exists()


def test_the_types_are_marked_as_public() -> None:
    assert files("peftcalc").joinpath("py.typed").is_file()


def test_every_extra_is_pinned_and_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {"lab", "llm", "app", "cluster", "notebook", "dev"}
    wanted = {named(line) for group in (project["dependencies"], *extras.values()) for line in group} - {"peftcalc"}
    pinned = {named(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    assert wanted <= pinned
    lines = (ROOT / "pyproject.toml").read_text().partition("\ndependencies = [")[2].partition("[project.scripts]")[0]
    without = [line for line in lines.splitlines() if re.match(r'\s+"(?!peftcalc)', line) and "# " not in line]
    assert without == []


def named(requirement: str) -> str:
    return re.split(r"[\[<>=; ]", requirement)[0].lower().replace("_", "-")


def test_no_script_run_waits_for_a_collection_and_no_page_shows_a_bare_sentence():
    """Streamlit's own defaults: a collection after every run, and every string that stands alone on the page."""
    runner = tomllib.loads((app_folder() / ".streamlit" / "config.toml").read_text())["runner"]
    assert (runner["postScriptGC"], runner["magicEnabled"]) == (False, False)
