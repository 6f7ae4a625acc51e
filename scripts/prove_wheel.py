"""Prove the package as a stranger meets it: built, checked, installed into empty environments, and used there.

    python scripts/prove_wheel.py

Builds the sdist and from it the wheel, with a compiler and without one, and looks at what the wheels say and hold. Then
installs the wheel into three new environments (without extras, with [lab], with every extra that is not for developers)
and drives each through the commands: those it has the packages for answer, the others say in one line what is missing.
Needs the packages `build` and `twine`, a C compiler, about 4 GB of free disk, and what pip downloads or has cached.
requirements.txt pins what is installed; without its pin torch would come with gigabytes of CUDA.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
PINS = ROOT / "requirements.txt"
LESSON = ROOT / "notebooks" / "01_count.ipynb"
LOOPS = ("peftcalc/adapters/layers/_few_tokens", "peftcalc/quant/_four_bits")
PARTS = (
    "peftcalc/py.typed",
    "peftcalc/pyproject.toml",
    "peftcalc/ui/icon.svg",
    "peftcalc/app/app.py",
    "peftcalc/app/.streamlit/config.toml",
)
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 64}
QUANTIZE = "quantize --normal 256x256 --double-quant --json"
TRAIN = "train --task names --method qdora --rank 2 --steps 2 --json"

LOOPS_LOAD = """
import peftcalc.compiled
print(all(peftcalc.compiled.load(name, {}) is not None for name in ("quant/four_bits", "adapters/layers/few_tokens")))
"""
EVERY_PAGE_OPENS = """
from streamlit.testing.v1 import AppTest
from peftcalc.ui.pages import FOLDER, PAGES
for entry in PAGES:
    page = AppTest.from_file(str(FOLDER / entry.file), default_timeout=120).run()
    assert not page.exception and page.title[0].value == entry.question, entry.file
print(len(PAGES))
"""
COMPONENTS_ARE_FOUND = """
from streamlit.components.v2.manifest_scanner import scan_component_manifests
for manifest, root in scan_component_manifests():
    for component in manifest.components:
        print(f"{manifest.name}.{component.name}", (root / component.asset_dir / "explorable.js").is_file())
"""
LESSON_RUNS = """
import sys
import nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=300, kernel_name="python3").execute()
print("ran")
"""


@dataclass
class Place:
    """A new environment with the wheel in it, and what was found wrong there."""

    name: str
    folder: Path
    faults: list[str] = field(default_factory=list)

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    @property
    def work(self) -> Path:
        """Where commands run: a folder without the repository's package in it."""
        return self.folder / "work"

    def create(self) -> None:
        run([sys.executable, "-m", "venv", str(self.folder)])
        self.work.mkdir()
        (self.work / "config.json").write_text(json.dumps(CONFIG))

    def install(self, wheel: Path, extras: str = "", *options: str) -> None:
        pip = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
        run([*pip, *options, "-c", str(PINS), f"{wheel}{extras}"])
        run([str(self.python), "-m", "pip", "check"])

    def command(self, line: str) -> subprocess.CompletedProcess[str]:
        """`python -m peftcalc LINE`."""
        return self.started("-m", "peftcalc", *line.split())

    def script(self, code: str, *arguments: str) -> str:
        """What a program prints; a program that fails is a fault."""
        done = self.started("-c", code, *arguments)
        self.expect(done.returncode == 0, f"a program failed: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def started(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *arguments], cwd=self.work, env=surroundings(), capture_output=True, text=True
        )

    def answer(self, line: str) -> Any:
        """The JSON that a command prints; None, and a fault, where it prints none."""
        done = self.command(line)
        try:
            return json.loads(done.stdout) if done.returncode == 0 else self.expect(False, f"{line}: {done.stderr}")
        except ValueError:
            return self.expect(False, f"{line}: not JSON: {done.stdout[:200]}")

    def refuses(self, line: str, extra: str) -> None:
        """The command ends with code 2 and one line that names the extra to install."""
        done = self.command(line)
        lines = done.stderr.strip().splitlines()
        good = done.returncode == 2 and not done.stdout and len(lines) == 1 and f"peftcalc[{extra}]" in lines[0]
        said = lines[-1] if lines else "nothing"
        self.expect(good, f"{line}: wanted code 2 and one line on [{extra}], got {done.returncode}: {said}")

    def expect(self, true: bool, fault: str) -> None:
        if not true:
            self.faults.append(f"{self.name}: {fault}")


def main() -> int:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="peftcalc-wheel-") as name:
        folder = Path(name)
        wheel, pure, faults = built(folder)
        print(f"{time.perf_counter() - began:4.0f} s  built {wheel.name} and {pure.name}", flush=True)
        proofs = (
            (without_extras, Place("without extras", folder / "bare"), ""),
            (with_lab, Place("[lab]", folder / "lab"), "[lab]"),
            (with_everything, Place("[app,llm,notebook]", folder / "everything"), "[app,llm,notebook]"),
        )

        def proved(proof: tuple[Any, Place, str]) -> list[str]:
            drive, place, extras = proof
            place.create()
            place.install(wheel, extras)
            installed = time.perf_counter() - began
            drive(place, pure)
            now = time.perf_counter() - began
            print(f"{now:4.0f} s  {place.name}: installed at {installed:.0f} s, driven since", flush=True)
            return place.faults

        with ThreadPoolExecutor(2) as pool:  # the reference machine has two cores
            faults += [fault for found in pool.map(proved, proofs) for fault in found]
    for fault in faults:
        print(f"FAULT  {fault}")
    print(f"{time.perf_counter() - began:4.0f} s  {len(faults)} faults")
    return 1 if faults else 0


def built(folder: Path) -> tuple[Path, Path, list[str]]:
    """The wheel with loops, the one built where nothing compiles, and what is wrong with either."""
    run([sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT)])
    run([sys.executable, "-m", "build", "--outdir", str(folder / "pure"), str(ROOT)], CC="/bin/false")
    wheel, pure = (next((folder / place).glob("*.whl")) for place in ("dist", "pure"))
    packages = [str(path) for place in ("dist", "pure") for path in (folder / place).iterdir()]
    run([sys.executable, "-m", "twine", "check", "--strict", *packages])
    faults = []
    if not re.search(r"-py3-none-(?!any)\w+\.whl$", wheel.name):
        faults.append(f"the wheel with loops calls itself {wheel.name}: is there a C compiler?")
    if not pure.name.endswith("-py3-none-any.whl"):
        faults.append(f"the wheel without loops calls itself {pure.name}")
    held, plain = (set(ZipFile(path).namelist()) for path in (wheel, pure))
    loops = {name for name in held - plain if name.startswith(LOOPS)}
    if len(loops) != len(LOOPS) or held - loops != plain:
        faults.append(f"beside {len(LOOPS)} loops the wheels differ in {sorted(held ^ plain)}")
    files = subprocess.run(["git", "ls-files", "peftcalc"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {file for file in files.stdout.split() if not file.endswith(".c")} | set(PARTS)
    wanted |= {f"peftcalc/app/pages/{page.name}" for page in (ROOT / "pages").glob("*.py")}
    wanted |= {f"peftcalc/app/notebooks/{lesson.name}" for lesson in LESSON.parent.glob("*.ipynb")}
    faults += [f"the wheel lacks {file}" for file in sorted(wanted - plain)]
    faults += [f"the wheel holds {file}" for file in sorted(plain) if file.endswith(".c") or "tests/" in file]
    return wheel, pure, faults


def without_extras(place: Place, pure: Path) -> None:
    """Counting and sizing need no torch; what needs it says so."""
    light(place)
    place.expect(place.script("import importlib.util; print(importlib.util.find_spec('torch'))") == "None", "has torch")
    for line in (QUANTIZE, TRAIN, "count config.json"):
        place.refuses(line, "lab")
    place.refuses("app", "app")


def with_lab(place: Place, pure: Path) -> None:
    """Training and quantizing, with the loops and without; no app."""
    light(place)
    lab(place)
    place.expect(place.script(LOOPS_LOAD) == "True", "the loops do not load")
    place.refuses("app", "app")
    quantized = place.answer(QUANTIZE)
    place.install(pure, "", "--force-reinstall", "--no-deps")
    place.expect(place.script(LOOPS_LOAD) == "False", "loops that the pure wheel does not hold")
    place.expect(quantized == place.answer(QUANTIZE), "quantize answers otherwise without the loops")
    place.answer(TRAIN)


def with_everything(place: Place, pure: Path) -> None:
    """The app starts, every page opens, a lesson runs."""
    light(place)
    lab(place)
    place.expect(place.script(EVERY_PAGE_OPENS).isdecimal(), "pages do not open")
    found = place.script(COMPONENTS_ARE_FOUND)
    place.expect(found == "peftcalc.explorable True", f"Streamlit finds as components {found or 'none'}")
    place.expect(place.script(LESSON_RUNS, str(LESSON)) == "ran", f"{LESSON.name} does not run")
    app_answers(place)


def light(place: Place) -> None:
    square = place.answer("square --parameters 4e9 --rank 8 --json") or {}
    place.expect(square.get("trainable") == 1_011_936, f"square answers {square}")
    counted = place.answer("count meta-llama/Meta-Llama-3-8B --rank 16 --json") or {}
    place.expect(counted.get("trainable") == 41_943_040, f"count answers {counted}")
    fits = place.answer("memory openai-community/gpt2 --gpu T4 --json")
    place.expect(bool(fits), "memory answers nothing")
    fits = place.answer("fit openai-community/gpt2 T4 --json")
    place.expect(bool(fits), "fit answers nothing")
    advised = place.answer("advise meta-llama/Meta-Llama-3-8B T4 --json") or {}
    place.expect(advised.get("method") == "qlora", f"advise answers {str(advised)[:200]}")
    place.expect(len(place.answer("models --json") or []) >= 60, "models lists too few")
    done = subprocess.run([place.python.with_name("peftcalc"), "models", "llama"], capture_output=True, cwd=place.work)
    place.expect(done.returncode == 0, "the command `peftcalc` does not start")


def lab(place: Place) -> None:
    counted = place.answer("count config.json --targets c_attn --rank 3 --json") or {}
    place.expect(counted.get("trainable") == 2 * 3 * (32 + 96), f"count config.json answers {counted}")
    quantized = place.answer(QUANTIZE) or {}
    place.expect(4.1 < quantized.get("bits_per_value", 0) < 4.2, f"quantize answers {quantized}")
    trained = place.answer(TRAIN) or {}
    place.expect(trained.get("step") == 2, f"train answers {str(trained)[:200]}")


def app_answers(place: Place) -> None:
    """`peftcalc app` serves its front page within two minutes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(place.python), "-m", "peftcalc", "app", "--port", str(port)]
    log = place.work / "app.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=place.work, env=surroundings(), stdout=output, stderr=output, start_new_session=True
        )
        try:
            healthy = waited(f"http://127.0.0.1:{port}/_stcore/health", server) == b"ok"
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # the command and the server that it started
            server.wait(30)
    place.expect(healthy, f"the app does not answer: {log.read_text()[-2000:]}")


def waited(url: str, server: subprocess.Popen[bytes]) -> bytes:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.5)  # the port opens once the server has loaded
    return b""


def run(command: list[str], **variables: str) -> None:
    """Run a step without which the rest is pointless; what it said is shown where it fails."""
    done = subprocess.run(
        command, env=surroundings() | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-4000:]}")


def surroundings() -> dict[str, str]:
    """The environment variables of a stranger: nothing leads to the repository, and nothing asks the hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PEFTCALC_HISTORY": "off"}


if __name__ == "__main__":
    sys.exit(main())
