"""Number formats, absmax, zero-point, blockwise NF4/FP4/int4, double quantization, error measures.

`formats` names them · `absmax` integers · `tables`, `blockwise`, `nested` four bits as bitsandbytes writes them ·
`quantizing`, `quantized`, `files` the public record · `errors` what is lost · `precision` the bits of one number ·
`steps` eight numbers, step by step · `model_bytes` what a whole model takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.lazy import lazy_names

if TYPE_CHECKING:
    from peftcalc.quant.errors import QuantizationError, error_along_line, measure_error, quantization_error
    from peftcalc.quant.formats import FORMATS
    from peftcalc.quant.precision import NUMBER_FORMATS, from_bits, store
    from peftcalc.quant.quantized import Quantized
    from peftcalc.quant.quantizing import quantize

__all__ = [
    "FORMATS",
    "NUMBER_FORMATS",
    "QuantizationError",
    "Quantized",
    "error_along_line",
    "from_bits",
    "measure_error",
    "quantization_error",
    "quantize",
    "store",
]

_MODULES = {
    "FORMATS": "peftcalc.quant.formats",
    "NUMBER_FORMATS": "peftcalc.quant.precision",
    "QuantizationError": "peftcalc.quant.errors",
    "Quantized": "peftcalc.quant.quantized",
    "error_along_line": "peftcalc.quant.errors",
    "from_bits": "peftcalc.quant.precision",
    "measure_error": "peftcalc.quant.errors",
    "quantization_error": "peftcalc.quant.errors",
    "quantize": "peftcalc.quant.quantizing",
    "store": "peftcalc.quant.precision",
}

__getattr__ = lazy_names(__name__, _MODULES)
