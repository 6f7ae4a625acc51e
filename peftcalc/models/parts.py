"""The parts of a model that is made of several: a vision tower, a projector and a language model; encoder and decoder.

A part is known by its layers. Where two or more modules beside each other hold stacks of layers of their own, they and
their neighbours are the parts; a model with one stack has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def part_names(templates: Iterable[str]) -> Callable[[str], str]:
    """A function from a module's name to its part; for a model of one part it answers with an empty name.

    Args:
        templates: every module's name, with `{}` for the layer's number.

    >>> name = part_names(["model.vision.layers.{}.q", "model.text.layers.{}.q", "model.text.norm", "lm_head"])
    >>> [name(module) for module in ("model.vision.layers.3.q", "model.text.norm", "lm_head")]
    ['vision', 'text', 'lm_head']
    """
    paths = [tuple(template.split(".")) for template in templates]
    root: tuple[str, ...] = ()
    while True:
        holders = _with_stacks(paths, len(root), root)
        if len(holders) != 1:
            break
        root = (*root, holders.pop())
    if not holders:
        return lambda module: ""

    def name(module: str) -> str:
        path = tuple(module.split("."))
        inside = path[: len(root)] == root and len(path) > len(root)
        return path[len(root)] if inside else path[0]

    return name


def _with_stacks(paths: list[tuple[str, ...]], depth: int, root: tuple[str, ...]) -> set[str]:
    """The children of `root` in which a stack of layers lies, deeper than directly beneath them."""
    inside = (path for path in paths if path[:depth] == root and "{}" in path)
    return {path[depth] for path in inside if path.index("{}") > depth + 1}


def first_name(template: str, indices: Sequence[int] = ()) -> str:
    """The name of the first of equal modules, which stands for all of them in a sentence.

    Args:
        template: their name, with `{}` for the layer's number.
        indices: the layers; empty for a module without a number.

    >>> first_name("model.layers.{}.mlp.gate", (2, 5)), first_name("lm_head")
    ('model.layers.2.mlp.gate', 'lm_head')
    """
    return template.replace("{}", str(indices[0]), 1) if indices else template
