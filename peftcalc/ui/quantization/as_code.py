"""The chosen numbers and formats as Python that prints the ranking again."""

from __future__ import annotations

from collections.abc import Sequence

from peftcalc.quant.compared.formats import VARIANTS
from peftcalc.ui.quantization.numbers import Choice


def ranking_code(choice: Choice, block_size: int, labels: Sequence[str]) -> str:
    """Python that makes or reads the numbers of `choice` and prints what each format loses on them."""
    imports, numbers, inputs = _numbers(choice)
    formats = "".join(
        f'    "{label}": { ({key: value for key, value in VARIANTS[label].options(block_size).items() if value})!r},\n'
        for label in labels
    )
    return (
        f"import peftcalc as pc\n{imports}\n{numbers}\nFORMATS = {{\n{formats}}}\n"
        f"for label, options in FORMATS.items():\n    error = pc.quantization_error(weight, **options{inputs})\n"
        "    print(label, error)\n"
    )


def _numbers(choice: Choice) -> tuple[str, str, str]:
    """Imports, the line that gives `weight`, and the argument that hands over a layer's inputs."""
    if choice.kind == "Trained matrix":
        imports = "from peftcalc.lab.tasks.trained_layers import trained_layers\n"
        return imports, f"weight, inputs = trained_layers()[{choice.matrix!r}]", ", activations=inputs"
    if choice.file.lower().endswith(".npy"):
        return "import numpy as np\n", f"weight = np.load({choice.file!r})", ""
    if choice.file:
        imports = "from safetensors.torch import load_file\n"
        return imports, f"weight = load_file({choice.file!r})[{choice.matrix!r}]", ""
    drawn = f"{choice.count}, {choice.outlier_size!r}, {choice.outliers}, {choice.seed}"
    lines = f"numbers = gaussian({drawn})\nweight = numbers.reshape(math.isqrt(numbers.size), -1)"
    return "import math\n\nfrom peftcalc.quant.samples import gaussian\n", lines, ""
