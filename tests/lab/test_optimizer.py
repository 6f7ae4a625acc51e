"""LoRA+: B learns faster than A. The oracle is peft's own optimizer, group by group and along ten steps."""

import copy
from dataclasses import replace

import peft
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from torch import nn

import peftcalc as pc
from peftcalc.adapters.files.adapter_config import beside_peft, checked_beside_peft, method_of
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.runs.optimizer import optimizer_of, set_rate
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.training import Run

SIZES = {"rank": 3, "alpha": 10, "targets": ["0", "2"], "lr_ratio": 16}
NETS = {
    "linears": (lambda: nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 12)), lambda: torch.randn(5, 20)),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(30, 16), nn.Tanh(), nn.Linear(16, 12)),
        lambda: torch.randint(0, 30, (5,)),
    ),
}


def pair(net, method):
    torch.manual_seed(3)
    build, inputs = NETS[net]
    module, x = build(), inputs()
    torch.manual_seed(0)
    theirs = peft.get_peft_model(copy.deepcopy(module), method.to_peft())
    torch.manual_seed(0)
    return pc.attach(module, method), theirs, x


@pytest.mark.parametrize(
    ("net", "method"),
    [
        ("linears", pc.LoRA(**SIZES)),
        ("linears", pc.DoRA(**SIZES)),
        ("linears", pc.LoRA(**SIZES, bias="all")),
        ("linears", pc.LoRA(**{**SIZES, "targets": ["0"]}, modules_to_save=("2",))),
        ("embedding", pc.LoRA(**SIZES)),
        ("embedding", pc.DoRA(**SIZES)),
    ],
    ids=lambda v: v if isinstance(v, str) else repr(v)[:50],
)
def test_rates_and_ten_steps_are_pefts(net, method):
    """Tolerance: each of ten steps of AdamW rounds to 1e-7 of it, at rates of up to 0.16."""
    ours, theirs, x = pair(net, method)
    target = torch.randn_like(ours(x))
    mine = optimizer_of(ours, method, 1e-2)
    set_rate(mine, 1e-2)
    reference = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1e-2, loraplus_lr_ratio=16)

    def by_rate(optimizer):
        found = {}
        for group in optimizer.param_groups:
            for part in group["params"]:
                found.setdefault(f"{group['lr']:.6g}", []).append(
                    tuple(part.flatten(1).shape if part.ndim > 1 else part.shape)
                )
        return {rate: sorted(shapes) for rate, shapes in found.items()}

    assert by_rate(mine) == by_rate(reference)
    for _ in range(10):
        for model, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_a_ratio_of_one_is_one_group_and_another_trains_differently():
    first = [record.loss for record in pc.finetune("rank", pc.LoRA(rank=2), steps=8, learning_rate=3e-3)]
    same = [record.loss for record in pc.finetune("rank", pc.LoRA(rank=2, lr_ratio=1.0), steps=8, learning_rate=3e-3)]
    other = [record.loss for record in pc.finetune("rank", pc.LoRA(rank=2, lr_ratio=4), steps=8, learning_rate=3e-3)]
    assert first == same
    assert other != first


def test_a_stack_and_a_stored_run_keep_the_ratio():
    run = Run(run_settings("rank", pc.LoRA(rank=2, lr_ratio=4), steps=8, learning_rate=3e-3))
    records = [next(run) for _ in range(4)]
    again = Run(run.settings)
    state = run.state()
    again.restore(replace(state, tensors={name: tensor.clone() for name, tensor in state.tensors.items()}))
    rest = [record.loss for record in again]
    assert rest == [record.loss for record in run]
    stacked = [step[0][1].loss for step in Stack([run.settings])]
    assert stacked == pytest.approx([record.loss for record in records] + rest, rel=1e-5)


def test_the_file_keeps_the_ratio():
    more = beside_peft(pc.LoRA(lr_ratio=4))
    assert more == {"lr_ratio": 4.0}
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q"]}
    assert method_of(config, checked_beside_peft(more, "f")).lr_ratio == 4
    with pytest.raises(ValueError, match="must hold"):
        checked_beside_peft({"lr_ratio": "4"}, "f")
    with pytest.raises(ValueError, match="lr_ratio must be a positive number, got 0"):
        pc.LoRA(lr_ratio=0)
    assert pc.LoRA(lr_ratio=4).to_peft() == pc.LoRA().to_peft()


def test_scripts_make_pefts_optimizer():
    from peftcalc.recipes.axolotl_yaml import axolotl_yaml
    from peftcalc.recipes.training_script import CLASSES, OPTIMIZERS, TrainingSettings, training_script

    method = pc.LoRA(rank=4, lr_ratio=16)
    assert "loraplus_lr_ratio=16" in method.to_code()
    compile(method.to_code(), "code", "exec")
    assert CLASSES.keys() == OPTIMIZERS.keys()
    for name in OPTIMIZERS:
        script = training_script(method, None, TrainingSettings(optimizer=name, learning_rate=3e-4))
        compile(script, "script", "exec")
        call = script.partition("optimizer = create_loraplus_optimizer(")[2].partition("trainer =")[0]
        assert [part.strip(" ,()") for part in call.replace("\n", " ").split(",") if part.strip(" ,()")] == [
            *("model", CLASSES[name][0], "lr=0.0003"),
            *CLASSES[name][1:],
            "loraplus_lr_ratio=16",
        ]
        assert "optimizers=(optimizer, None)" in script
        assert ("import bitsandbytes" in script) is CLASSES[name][0].startswith("bitsandbytes")
    assert "loraplus" not in training_script(pc.LoRA(rank=4))
    assert "loraplus_lr_ratio: 16.0" in axolotl_yaml(method)
    with pytest.raises(ValueError, match="no key for freeze_a"):
        axolotl_yaml(pc.LoRA(freeze_a=True))
