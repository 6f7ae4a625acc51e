"""Number formats, absmax, zero-point, blockwise NF4/FP4/int4, double quantization, error measures.

`formats` names them · `absmax` integers · `tables`, `blockwise`, `nested` four bits as bitsandbytes writes them ·
`mxfp4` four bits as OCP specifies them · `quantizing`, `quantized` the public record · `files/` our files and
bitsandbytes' checkpoints · `errors` what is lost · `precision` the bits of one number · `steps` eight numbers, step by
step · `model_bytes` what a whole model takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.lazy import lazy_names

if TYPE_CHECKING:
    from peftcalc.quant.errors import QuantizationError, error_along_line, measure_error, quantization_error
    from peftcalc.quant.files.bitsandbytes_layout import from_tensors, to_tensors
    from peftcalc.quant.files.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
    from peftcalc.quant.formats import FORMATS
    from peftcalc.quant.precision import NUMBER_FORMATS, from_bits, store
    from peftcalc.quant.quantized import Quantized
    from peftcalc.quant.quantizing import quantize

__all__ = [
    "FORMATS",
    "NUMBER_FORMATS",
    "Checkpoint",
    "QuantizationError",
    "Quantized",
    "error_along_line",
    "from_bits",
    "from_tensors",
    "measure_error",
    "quantization_error",
    "quantize",
    "read_checkpoint",
    "store",
    "to_tensors",
    "write_checkpoint",
]

_MODULES = {
    "Checkpoint": "peftcalc.quant.files.checkpoint",
    "FORMATS": "peftcalc.quant.formats",
    "NUMBER_FORMATS": "peftcalc.quant.precision",
    "QuantizationError": "peftcalc.quant.errors",
    "Quantized": "peftcalc.quant.quantized",
    "error_along_line": "peftcalc.quant.errors",
    "from_bits": "peftcalc.quant.precision",
    "from_tensors": "peftcalc.quant.files.bitsandbytes_layout",
    "measure_error": "peftcalc.quant.errors",
    "quantization_error": "peftcalc.quant.errors",
    "quantize": "peftcalc.quant.quantizing",
    "read_checkpoint": "peftcalc.quant.files.checkpoint",
    "store": "peftcalc.quant.precision",
    "to_tensors": "peftcalc.quant.files.bitsandbytes_layout",
    "write_checkpoint": "peftcalc.quant.files.checkpoint",
}

__getattr__ = lazy_names(__name__, _MODULES)
