"""What an `adapter_config.json` says about every module: rank, alpha, the scale s, and whether it is a target."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peftcalc.checks import positive, whole_number
from peftcalc.methods import LoRA
from peftcalc.targets import is_target, pattern_value

MAX_RANK = 1_000_000
MAX_LOOK_UPS = 2_000_000
"""Modules × patterns; one pattern for each of 600 modules makes 360,000."""
MAX_PATTERN_SECONDS = 30.0
"""For all regular expressions of a file together; each has its own limit besides."""

_PLAIN = re.compile(r"[\w.-]+")

CHANGED_BASES = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of `init_lora_weights` that replace the base's weights, by ones that depend on the rank."""
OTHER_FORMS = ("use_qalora", "use_bdlora", "arrow_config", "monteclora_config", "kasa_config", "velora_config")
"""Settings under which the update is not `s · B A` of the two stored factors."""


@dataclass
class Settings:
    """The part of a config that the numbers depend on.

    Args:
        config: the whole file.
        rank, alpha: the defaults of all modules.
        rslora: `s = α / √r` in place of `α / r`.
        dora: with magnitudes.
        rank_pattern, alpha_pattern: per-module values by name or regular expression, the first that matches.
        targets: a method that names the same modules, None where the file names none.
    """

    config: Mapping[str, Any]
    rank: int
    alpha: float
    rslora: bool = False
    dora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    targets: LoRA | None = None
    _ranks: dict[str, int] = field(default_factory=dict)
    _alphas: dict[str, float] = field(default_factory=dict)
    _spent: float = 0.0
    _looked: int = 0

    def rank_of(self, module: str) -> int:
        """r of a module."""
        if module not in self._ranks:
            self._ranks[module] = self._value(self.rank_pattern, module, self.rank)
        return self._ranks[module]

    def alpha_of(self, module: str) -> float:
        """α of a module."""
        if module not in self._alphas:
            self._alphas[module] = self._value(self.alpha_pattern, module, self.alpha)
        return self._alphas[module]

    def scale_of(self, module: str) -> float:
        """s of a module: α / r, or α / √r when rank-stabilised."""
        rank = self.rank_of(module)
        return self.alpha_of(module) / (math.sqrt(rank) if self.rslora else rank)

    def is_target(self, module: str) -> bool:
        """True when peft would put an adapter on a module of this name, or the file does not say on which."""
        if self.targets is None:
            return True
        owners = {name.rpartition(".")[0] for name in self.targets.target_parameters}
        if any(module == owner or module.endswith(f".{owner}") for owner in owners):
            return True
        if not self.targets.targets:
            return False
        return self._timed(lambda: is_target(module, self.targets or LoRA()))

    @property
    def changed_base(self) -> str | None:
        """`init_lora_weights` where the adapter belongs to a base that it has changed (PiSSA and its kin)."""
        start = self.config.get("init_lora_weights")
        return start if isinstance(start, str) and start.lower().startswith(CHANGED_BASES) else None

    @property
    def other_form(self) -> str | None:
        """The setting under which the update is no plain `s · B A`, if there is one."""
        return next((name for name in OTHER_FORMS if self.config.get(name)), None)

    def _value(self, patterns: Mapping[str, Any], module: str, default: Any) -> Any:
        """The first pattern that matches; plain names, the common case, need no regular expression."""
        self._looked += len(patterns)
        if self._looked > MAX_LOOK_UPS:
            raise ValueError(f"{len(patterns):,} patterns for this many modules are more than are looked up here")
        for pattern, value in patterns.items():
            if _PLAIN.fullmatch(pattern):
                if _ends_with(module, pattern):
                    return value
            elif self._timed(lambda one={pattern: value}: pattern_value(one, module, None)) is not None:
                return value
        return default

    def _timed(self, ask: Any) -> Any:
        start = time.monotonic()
        answer = ask()
        self._spent += time.monotonic() - start
        if self._spent > MAX_PATTERN_SECONDS:
            raise ValueError("the regular expressions of this config take too long to match; write them simpler")
        return answer


def read_settings(config: Mapping[str, Any]) -> Settings:
    """The settings of a LoRA or DoRA adapter's config; what the file leaves out stands at peft's default.

    Raises:
        ValueError: another kind of adapter, or a value that peft cannot use.

    >>> read_settings({"peft_type": "LORA", "r": 4, "lora_alpha": 10, "rank_pattern": {"v": 2}}).scale_of("h.0.v")
    5.0
    """
    kind = config.get("peft_type")
    if str(kind).upper() != "LORA":
        raise ValueError(f"peft_type must be LORA (with use_dora for DoRA), got {str(kind)[:80]!r}")
    try:
        return Settings(
            config,
            whole_number("r", config.get("r", 8), 1, MAX_RANK),
            positive("lora_alpha", config.get("lora_alpha", 8)),
            bool(config.get("use_rslora")),
            bool(config.get("use_dora")),
            {k: whole_number(f"rank_pattern[{k!r}]", v, 1, MAX_RANK) for k, v in _pattern(config, "rank_pattern")},
            {k: positive(f"alpha_pattern[{k!r}]", v) for k, v in _pattern(config, "alpha_pattern")},
            _targets(config),
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(f"this adapter_config.json holds a value of a wrong kind: {error}") from None


def _pattern(config: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    value = config.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must map names to numbers, got {str(value)[:80]!r}")
    return list(value.items())


def _targets(config: Mapping[str, Any]) -> LoRA | None:
    """The modules that the file names, as a method's targets."""
    targets, parameters = config.get("target_modules"), tuple(config.get("target_parameters") or ())
    if any(not isinstance(name, str) for name in parameters):
        raise ValueError(f"target_parameters must be a list of names, got {str(parameters)[:80]}")
    if not targets and not parameters:
        return None
    layers = config.get("layers_to_transform")
    return LoRA(
        targets=targets or (),
        exclude=config.get("exclude_modules") or (),
        modules_to_save=tuple(config.get("modules_to_save") or ()),
        layers_to_transform=(layers,) if isinstance(layers, int) else layers and tuple(layers),
        layers_pattern=config.get("layers_pattern"),
        target_parameters=parameters,
    )


def _ends_with(module: str, pattern: str) -> bool:
    """What `(.*\\.)?pattern$` decides for a pattern of letters and dots, where a dot stands for any character."""
    before = len(module) - len(pattern)
    if before < 0 or (before > 0 and module[before - 1] != "."):
        return False
    return all(ours in (theirs, ".") for ours, theirs in zip(pattern, module[before:], strict=True))
