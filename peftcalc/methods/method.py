"""What the five methods have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from peftcalc.lazy import upstairs

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig


@dataclass(frozen=True, repr=False)
class Method:
    """A way of fine-tuning: what is frozen, what is trained, at which precision."""

    name: ClassVar[str]
    """Identifier on the command line, in links and in JSON."""
    label: ClassVar[str]
    """How it is written for people."""
    has_adapter: ClassVar[bool] = True
    decomposed: ClassVar[bool] = False
    """True when the magnitude of every output row is trained apart from its direction (DoRA)."""
    quantized: ClassVar[bool] = False
    """True when the frozen base is stored in 4 bits."""

    def to_peft(self, task_type: str | None = None) -> LoraConfig | None:
        """The `peft.LoraConfig` of the same method; None for full fine-tuning, which has no adapter."""
        return None

    def to_bitsandbytes(self) -> BitsAndBytesConfig | None:
        """The `transformers.BitsAndBytesConfig` of the base; None when the base is not quantized."""
        return None

    def to_code(
        self,
        task_type: str | None = "auto",
        model: Any = None,
        dtype: str | None = None,
        num_labels: int | None = None,
    ) -> str:
        """Python text that loads a model, applies this method with transformers and peft, and prints what is trained.

        Args:
            task_type: one of peft's; "auto" for the class that `model` is counted as, None for the same without a task
                type in peft's configuration.
            model: what `load_model` returns or accepts; None for a small open model.
            dtype: "bfloat16", "float16" or "float32"; None for a line that asks the card.
            num_labels: classes of a classifier.
        """
        return upstairs("Method.to_code")(self, task_type, model, dtype, num_labels)

    def __repr__(self) -> str:
        """The rank and what differs from the defaults: `LoRA(rank=4)`."""
        default = type(self)()
        shown = [f.name for f in fields(self) if f.name == "rank" or getattr(self, f.name) != getattr(default, f.name)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
