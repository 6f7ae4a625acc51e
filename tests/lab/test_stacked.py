"""A stack of runs against `finetune`, run by run. Tolerance: 1e-5 relative in the training loss over the first steps;
the numbers that are trained are the same bit for bit on the machines tried, the loss's sum is rounded otherwise."""

import math
from dataclasses import replace

import pytest
import torch

import peftcalc as pc
from peftcalc.adapters.attach import adapted
from peftcalc.adapters.layers.dora import DoRALinear
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.stacked.engine import train_all
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.stacked.updates import Decomposed, product
from peftcalc.lab.stacked.which import STACKABLE_TASKS, stackable, stacks
from peftcalc.lab.tasks.catalogue import TASKS, UNLISTED
from peftcalc.lab.tasks.problem import StackableProblem
from peftcalc.lab.training import Run

# Not PiSSA at the output's full rank: the direction in which all scores rise alike is nothing but rounding there.
MIXED = [
    (pc.Full(), 0, 3e-3),
    (pc.Full(), 1, 1e-3),
    (pc.LoRA(rank=4, alpha=10), 0, 1e-2),
    (pc.LoRA(rank=1, alpha=16, rslora=True), 1, 3e-3),
    (pc.LoRA(rank=8, alpha=2, init="pissa"), 0, 3e-3),
    (pc.LoRA(rank=4, alpha=6, freeze_a=True), 1, 1e-2),
    (pc.LoRA(rank=4, alpha=8, lr_ratio=4), 0, 3e-3),
    (pc.LoRA(rank=2, alpha=8, targets=["first.0", "output"]), 0, 1e-2),
    (pc.DoRA(rank=4, alpha=10, init="gaussian"), 1, 1e-2),
    (pc.DoRA(rank=1, alpha=2, lr_ratio=8), 0, 1e-3),
    (pc.QLoRA(rank=8, alpha=4), 1, 1e-2),
    (pc.QDoRA(rank=2, alpha=5, quant="fp4"), 0, 1e-2),
]


@pytest.fixture(autouse=True)
def one_thread():
    """A product of several threads is added up in an order that depends on how many rows it has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(task, method, **given):
    return run_settings(task, method, **given)


@pytest.mark.slow
def test_fifty_steps_of_a_mixed_stack_are_those_of_finetune():
    agree([settings("digits", m, seed=s, learning_rate=rate, steps=50) for m, s, rate in MIXED])


def test_a_mixed_stack_is_finetune_run_by_run():
    """Full, ranks, rates, seeds, starts, targets, LoRA+, frozen A, 4 bits, weight decay, in one graph."""
    agree(
        [
            settings("digits", m, seed=s, learning_rate=rate, steps=9, weight_decay=0.1 if s else 0.0, batch=24)
            for m, s, rate in MIXED
        ]
    )


@pytest.mark.parametrize("task", ["rank", "direction"])
def test_linear_teachers_too(task):
    methods = [pc.Full(), pc.LoRA(rank=3, alpha=6), pc.DoRA(rank=2, alpha=5), pc.QDoRA(rank=4)]
    agree([settings(task, method, seed=seed, steps=30, width=32) for method in methods for seed in (0, 5)])


def agree(asked):
    """Records and what is trained, of a stack and of each run by itself."""
    assert stacks(asked, most=100) == [sorted(range(len(asked)), key=lambda i: getattr(asked[i].method, "rank", 0))]
    stack = Stack(asked)
    told = {index: [] for index in range(len(asked))}
    for step in stack:
        for index, record in step:
            told[index].append(record)
    for index, one in enumerate(asked):
        run = Run(one)
        for mine, reference in zip(told[index], run, strict=True):
            assert mine.loss == pytest.approx(reference.loss, rel=1e-5), (one.method, mine.step)
            same = ("step", "steps", "trainable", "adapter_bytes", "learning_rate", "stopped")
            assert [getattr(mine, name) for name in same] == [getattr(reference, name) for name in same]
            assert mine.validation == (reference.validation and pytest.approx(reference.validation, rel=1e-5))
            assert mine.metrics.keys() == reference.metrics.keys()
        if one.method.has_adapter:
            of_B = {name: layer.B.detach() for name, layer in adapted(run.module)}
            mine = factors(stack, stack.order.index(index))
            assert mine.keys() == of_B.keys()
            for name, B in of_B.items():
                torch.testing.assert_close(mine[name], B, rtol=1e-4, atol=1e-6)


def factors(stack, place):
    names = [name for name, part in stack.module.named_modules() if hasattr(part, "updates")]
    found = {}
    for name, layer in zip(names, stack.layers, strict=True):
        for update in layer.updates:
            if update.models.start <= place < update.models.stop:
                found[name] = update.B[place - update.models.start]
    return found


def test_one_run_that_diverges_stops_alone():
    asked = [settings("digits", "full", steps=20, learning_rate=rate) for rate in (1e3, 1e-3)]
    (_, bad), (_, good) = train_all(asked)
    reference = list(Run(asked[0]))
    assert bad[-1].stopped == reference[-1].stopped
    assert [record.step for record in bad] == [record.step for record in reference]
    assert good[-1].step == 20
    assert good[-1].stopped is None
    assert good[-1].loss == pytest.approx(list(Run(asked[1]))[-1].loss, rel=1e-5)


def test_peak_and_what_cannot_be_stacked_are_those_of_the_run_alone():
    asked = [
        settings("digits", pc.LoRA(rank=2, dropout=p), steps=6, learning_rate=1e-3 * (1 + s), seed=s)
        for p in (0.0, 0.5)
        for s in (0, 1)
    ]
    assert stacks(asked) == [[0, 1], [2], [3]]
    told = dict(train_all(asked))
    for place, one in enumerate(asked):
        *_, reference = Run(one)
        last = told[place][-1]
        assert last.peak_bytes == reference.peak_bytes
        assert last.loss == pytest.approx(reference.loss, rel=1e-5)
        assert last.seconds > 0


def test_stacks_are_bounded_even_and_by_rank():
    asked = [settings("digits", pc.LoRA(rank=rank), seed=seed) for seed in range(3) for rank in (8, 1)]
    asked += [
        settings("digits", "full", steps=9),
        settings("names", "lora"),
        settings("digits", "lora", dtype="bfloat16"),
    ]
    assert stacks(asked, most=4) == [[1, 3, 5], [0, 2, 4], [6], [7], [8]]
    tasks = {**TASKS, **UNLISTED}
    assert {task for task in tasks if stackable(settings(task, "lora"))} == set(STACKABLE_TASKS)
    assert all(isinstance(tasks[task].build(), StackableProblem) for task in STACKABLE_TASKS)
    for strange in (pc.LoRA(bias="all"), pc.LoRA(lora_bias=True), pc.LoRA(modules_to_save=("output",))):
        assert not stackable(settings("digits", strange))


def test_small_products_are_rounded_as_they_are_alone():
    torch.manual_seed(0)
    left, right, added = torch.randn(5, 2, 64), torch.randn(5, 64, 2), torch.randn(5, 2, 2)
    for k, result in enumerate(product(left, right)):
        assert torch.equal(result, left[k] @ right[k])
    for k, result in enumerate(product(left, right, added, 3.0, 0.5)):
        assert torch.equal(result, torch.addmm(added[k], left[k], right[k], beta=3.0, alpha=0.5))


def test_a_row_whose_update_undoes_it_is_formed():
    """‖W‖² + 2s W·BA + s²‖BA‖² has then lost its digits: see `adapters.layers.dora.row_norm`."""
    run = Run(settings("rank", pc.DoRA(rank=1, alpha=1), width=8))
    (_, layer), *_ = adapted(run.module)
    assert isinstance(layer, DoRALinear)
    with torch.no_grad():
        layer.A.copy_(layer.base.weight[:1])
        layer.B.zero_()[0] = -1 + 1e-4
        update = Decomposed(slice(0, 1), [layer])
        update.A, update.B = layer.A[None], layer.B[None]
        reference = layer.norm()
        found = update.row_norm(layer.base.weight[None])[0]
    torch.testing.assert_close(found, reference, rtol=1e-6, atol=0)
    assert 0 < found[0] < 1e-3 * found[1]


def test_a_rate_or_an_operator_that_is_wrong_is_seen():
    """The comparison above can fail: one model at another rate, and a scale that is off by 1 %."""
    one = settings("digits", pc.LoRA(rank=2, alpha=6), steps=12)
    reference = [record.loss for record in Run(one)]
    other = [step[0][1].loss for step in Stack([replace(one, learning_rate=one.learning_rate * 1.01)])]
    stack = Stack([one])
    for layer in stack.layers:
        for update in layer.updates:
            update.scale *= 1.01
    scaled = [step[0][1].loss for step in stack]
    for losses in (other, scaled):
        assert max(abs(a / b - 1) for a, b in zip(losses, reference, strict=True)) > 1e-4
    assert math.isfinite(sum(reference))
