"""Names and packages that are loaded when they are first used, so that importing one room does not pay for all of them.

`lazy_names` is for the face of a package. `upstairs` is the one door that leads up in the house: a public method that
lives higher than its object (a method's code is made in `recipes`) is found by name in `UPSTAIRS`, and nowhere else.
What needs a package that is not installed says so in one line with the command that installs it: `MissingExtra`, which
`lazy_names`, the commands and what stands below `explained` raise.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UPSTAIRS = {
    "Method.to_code": "peftcalc.recipes.python_code:method_code",
    "Quantized.save": "peftcalc.quant.files.doors:save_quantized",
    "Quantized.load": "peftcalc.quant.files.doors:load_quantized",
    "Quantized.to_bitsandbytes": "peftcalc.quant.files.params4bit:to_params4bit",
    "Quantized.from_bitsandbytes": "peftcalc.quant.files.params4bit:from_params4bit",
    "Count.plot": "peftcalc.plots.results.counting:plot_count",
    "Count._repr_html_": "peftcalc.plots.results.tables:count_table",
    "MemoryBreakdown.plot": "peftcalc.plots.results.memory:plot_breakdown",
    "MemoryBreakdown._repr_html_": "peftcalc.plots.results.tables:breakdown_table",
    "MemoryTrace.plot": "peftcalc.plots.results.memory:plot_trace",
    "MemoryTrace._repr_html_": "peftcalc.plots.results.tables:trace_table",
    "Quantized.plot": "peftcalc.plots.results.quantization:plot_quantized",
    "Quantized._repr_html_": "peftcalc.plots.results.tables:quantized_table",
    "QuantizationError.plot": "peftcalc.plots.results.quantization:plot_error",
    "QuantizationError._repr_html_": "peftcalc.plots.results.tables:error_table",
    "Comparison.plot": "peftcalc.plots.results.learning:plot_comparison",
    "Comparison._repr_html_": "peftcalc.plots.results.tables:comparison_table",
    "SweepResults.plot": "peftcalc.plots.results.sweeps:plot_sweep",
    "SweepResults._repr_html_": "peftcalc.plots.results.tables:sweep_table",
    "Decomposition.plot": "peftcalc.plots.results.matrices:plot_decomposition",
    "Decomposition._repr_html_": "peftcalc.plots.results.tables:decomposition_table",
    "Spectrum.plot": "peftcalc.plots.results.matrices:plot_spectrum",
    "Spectrum._repr_html_": "peftcalc.plots.results.tables:spectrum_table",
    "AdapterInspection.plot": "peftcalc.plots.results.adapters:plot_inspection",
    "AdapterInspection._repr_html_": "peftcalc.plots.results.adapter_tables:inspection_table",
    "AdapterReport.plot": "peftcalc.plots.results.counting:plot_adapter_config",
    "AdapterReport._repr_html_": "peftcalc.plots.results.adapter_tables:adapter_config_table",
    "Advice.plot": "peftcalc.plots.results.cards:plot_advice",
    "Advice._repr_html_": "peftcalc.plots.results.card_tables:advice_table",
    "CutAdapter.plot": "peftcalc.plots.results.adapters:plot_cut",
    "CutAdapter._repr_html_": "peftcalc.plots.results.adapter_tables:cut_table",
    "FinishedRun.plot": "peftcalc.plots.results.learning:plot_finished_run",
    "FinishedRun._repr_html_": "peftcalc.plots.results.tables:finished_run_table",
    "Fit.plot": "peftcalc.plots.results.cards:plot_fit",
    "Fit._repr_html_": "peftcalc.plots.results.card_tables:fit_table",
    "Fits.plot": "peftcalc.plots.results.cards:plot_fits",
    "Fits._repr_html_": "peftcalc.plots.results.card_tables:fits_table",
    "ModelShapes.plot": "peftcalc.plots.results.counting:plot_shapes",
    "ModelShapes._repr_html_": "peftcalc.plots.results.tables:shapes_table",
    "Run.plot": "peftcalc.plots.results.learning:plot_run",
    "Run._repr_html_": "peftcalc.plots.results.tables:run_table",
    "RunCost.plot": "peftcalc.plots.results.cards:plot_run_cost",
    "RunCost._repr_html_": "peftcalc.plots.results.card_tables:run_cost_table",
    "ServingEstimate.plot": "peftcalc.plots.results.cards:plot_serving",
    "ServingEstimate._repr_html_": "peftcalc.plots.results.card_tables:serving_table",
    "SpeedEstimate.plot": "peftcalc.plots.results.cards:plot_speed",
    "SpeedEstimate._repr_html_": "peftcalc.plots.results.card_tables:speed_table",
    "Square.plot": "peftcalc.plots.results.counting:plot_square",
    "Square._repr_html_": "peftcalc.plots.results.tables:square_table",
    "Sweep.plot": "peftcalc.plots.results.sweeps:plot_asked",
    "Sweep._repr_html_": "peftcalc.plots.results.tables:asked_table",
}
"""Where the work of these public methods is done, as `module:name`: above their object."""

INSTALL = {
    **dict.fromkeys(("torch", "transformers", "peft", "bitsandbytes", "sklearn"), "'peftcalc[lab]'"),
    **dict.fromkeys(("gguf", "accelerate"), "'peftcalc[llm]'"),
    **dict.fromkeys(("streamlit", "altair", "segno"), "'peftcalc[app]'"),
    "matplotlib": "'peftcalc[notebook]'",
    **dict.fromkeys(("distributed", "cryptography"), "'peftcalc[cluster]'"),
    **{package: package for package in ("numpy", "pandas", "safetensors", "huggingface_hub")},
}
"""What pip installs a package by: the extra that brings it, or its own name where peftcalc always asks for it."""


class MissingExtra(ModuleNotFoundError, ValueError):
    """A package is not installed; the sentence says what needs it and the command that installs it.

    A ValueError too, so that pages, workers and the terminal answer it as they answer any other sentence.
    """


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Within it, or below it as a decorator, an import that fails for want of a package of `INSTALL` says `what`
    needs it.

    >>> with explained("this example"):
    ...     raise ModuleNotFoundError(name="torch.nn")
    Traceback (most recent call last):
    peftcalc.lazy.MissingExtra: this example needs torch: pip install 'peftcalc[lab]'
    """
    try:
        yield
    except MissingExtra:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in INSTALL:
            raise
        raise MissingExtra(f"{what} needs {package}: pip install {INSTALL[package]}", name=package) from None


def needs(package: str, what: str) -> None:
    """Nothing where `package` is installed; else the error that says `what` needs it. The package is not loaded."""
    with explained(what):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(name=package)


def upstairs(method: str) -> Callable[..., Any]:
    """The function that does the work of a public method, such as "Method.to_code".

    >>> upstairs("Method.to_code").__name__
    'method_code'
    """
    module, name = UPSTAIRS[method].split(":")
    with explained(method):
        return getattr(importlib.import_module(module), name)


class Drawn:
    """A result that draws and tells itself in a notebook: its class, or one above it, stands in `UPSTAIRS`."""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the result with matplotlib, in one look with the pages.

        Args:
            ax: where; None for a figure of its own, which a notebook shows. `.figure.savefig(path)` writes it.

        Returns:
            The axes.
        """
        return _of_class(self, "plot")(self, ax)

    def _repr_html_(self) -> str:
        return _of_class(self, "_repr_html_")(self)


def _of_class(result: Drawn, method: str) -> Callable[..., Any]:
    names = (f"{kind.__name__}.{method}" for kind in type(result).__mro__)
    return upstairs(next(name for name in names if name in UPSTAIRS))


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A module-level `__getattr__` for `package` that finds each name in the module which `modules` gives for it."""

    def load(name: str) -> Any:
        module = modules.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with explained(f"{package}.{name}"):
            found = importlib.import_module(module)
            value = found if module == f"{package}.{name}" else getattr(found, name)  # a room that can be called
        setattr(sys.modules[package], name, value)
        return value

    return load
