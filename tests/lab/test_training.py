"""Fine-tuning: what must come out is known for the linear teachers; seeds repeat; runs end, stop and fail cleanly."""

import math
import threading

import numpy as np
import pytest
import torch

import peftcalc as pc
from peftcalc.lab.footprint import Footprint
from peftcalc.lab.records import plain
from peftcalc.lab.run_settings import run_code, run_settings
from peftcalc.lab.tasks.catalogue import find_task
from peftcalc.lab.training import learning_rate_at
from peftcalc.methods import METHODS, make_method


def last(task, method, **settings):
    *_, record = pc.finetune(task, method, evaluations=1, **settings)
    return record


@pytest.mark.parametrize("spectrum", ["equal", "decaying"])
@pytest.mark.parametrize("rank", [1, 3, 4, 5])
def test_lora_ends_on_the_eckart_young_bound(rank, spectrum):
    """The bound is computed before training: nothing goes below it, and 400 steps come to within 0.01 of it."""
    bound = find_task("rank")[0].build(0, spectrum=spectrum).bounds()[rank]
    loss = last("rank", pc.LoRA(rank=rank, alpha=2 * rank), spectrum=spectrum, steps=400, learning_rate=3e-2).validation
    assert bound - 1e-6 <= loss <= bound + 0.01


def test_the_bound_is_the_algebra():
    """k equal singular values: each rank takes 1/k of the energy. For 1, 1/√2, …: 1/i of the harmonic sum."""
    equal = find_task("rank")[0].build(0, teacher_rank=4).bounds()
    np.testing.assert_allclose(equal[:6], [1, 0.75, 0.5, 0.25, 0, 0], atol=1e-5)
    decaying = find_task("rank")[0].build(0, teacher_rank=3, spectrum="decaying").bounds()
    total = 1 + 1 / 2 + 1 / 3
    np.testing.assert_allclose(decaying[:4], [1, 1 - 1 / total, 1 - 1.5 / total, 0], atol=1e-5)


def test_dora_fits_lengths_at_rank_1_and_lora_cannot():
    bound = find_task("magnitude")[0].build(0).bounds()[1]
    lora = last("magnitude", pc.LoRA(rank=1, alpha=2), learning_rate=3e-2)
    dora = last("magnitude", pc.DoRA(rank=1, alpha=2), learning_rate=3e-2)
    assert bound > 0.85
    assert lora.validation >= bound - 1e-6
    assert dora.validation < 0.01


def test_dora_needs_the_rank_of_the_turn_for_directions():
    """Turned by rank 4: DoRA meets the teacher with rank 4, not with rank 1; LoRA has to move the lengths back as
    well.
    """
    four = last("direction", pc.DoRA(rank=4, alpha=8), learning_rate=3e-2).validation
    assert four < 1e-3
    assert last("direction", pc.DoRA(rank=1, alpha=2), learning_rate=3e-2).validation > 0.3
    assert last("direction", pc.LoRA(rank=4, alpha=8), learning_rate=3e-2).validation > 10 * four


@pytest.mark.parametrize("name", METHODS)
def test_a_seed_gives_the_same_curve_again(name):
    """Also after other random numbers were drawn, and with dropout: nothing depends on torch's global generator."""
    method = make_method(name, rank=2, dropout=0.2)
    curves = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        curves.append([(r.loss, r.validation) for r in pc.finetune("digits", method, steps=8, seed=3)])
        torch.rand(7)
    assert curves[0] == curves[1]
    other = [r.loss for r in pc.finetune("digits", method, steps=8, seed=4)]
    assert [loss for loss, _ in curves[0]] != other


def test_a_run_leaves_the_global_generator_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(pc.finetune("digits", pc.DoRA(rank=2, dropout=0.5), steps=3))
    assert torch.equal(torch.rand(3), expected)


def test_runs_in_two_threads_do_not_disturb_each_other():
    def curve(store, seed):
        store[seed] = [r.loss for r in pc.finetune("digits", pc.LoRA(rank=2, dropout=0.3), steps=15, seed=seed)]

    alone, together = {}, {}
    for seed in (0, 1):
        curve(alone, seed)
    threads = [threading.Thread(target=curve, args=(together, seed)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("name", METHODS)
def test_the_records_tell_what_is_trained(name):
    method = make_method(name, rank=4)
    run = pc.finetune("digits", method, steps=8, evaluations=2)
    records = list(run)
    assert [r.step for r in records] == list(range(9))
    assert [r.step for r in records if r.validation is not None] == [0, 4, 8]
    assert [r.step for r in records if r.changes] == [4, 8]
    assert {len(r.changes) for r in records if r.changes} == {12}
    assert records[0].seconds == 0 < records[1].seconds < records[-1].seconds
    assert records[-1].trainable == sum(p.numel() for p in run.module.parameters() if p.requires_grad)
    assert len(records[-1].samples) == 24
    change = records[-1].changes[0]
    assert np.mean(change.turns) == pytest.approx(change.direction_change)
    assert records[4].changes[0].turns == ()
    assert set(plain(records[-1])) >= {"step", "loss", "validation", "peak_bytes", "samples", "changes"}


def test_trained_parameters_are_what_count_says():
    for method in (pc.LoRA(rank=4), pc.DoRA(rank=4), pc.QDoRA(rank=4)):
        run = pc.finetune("names", method, steps=1)
        plain_module = find_task("names")[0].build().module
        assert run.student.trainable == pc.count(pc.load_model(plain_module), method).trainable


def test_learning_happens_and_full_reaches_the_teacher():
    assert last("rank", pc.Full()).validation < 1e-6
    before, *_, after = pc.finetune("digits", pc.DoRA(rank=4), steps=100, evaluations=1)
    assert after.metrics["accuracy"] > before.metrics["accuracy"] + 0.5
    assert after.validation < before.validation / 5


def test_a_learning_rate_that_diverges_ends_the_run_with_a_sentence():
    records = list(pc.finetune("digits", pc.Full(), steps=50, learning_rate=1e3))
    assert records[-1].step < 50
    assert records[-1].stopped.startswith("diverged: the loss is ")
    assert "try a learning rate below 1000" in records[-1].stopped
    assert all(record.stopped is None for record in records[:-1])


def test_a_loss_that_is_not_a_number_ends_the_run():
    run = pc.finetune("digits", pc.LoRA(rank=2), steps=20)
    next(run)
    with torch.no_grad():
        next(p for p in run.module.parameters() if p.requires_grad).fill_(math.nan)
    record = next(run)
    assert record.stopped.startswith("diverged: the loss is nan at step 1")
    assert plain(record)["loss"] is None
    with pytest.raises(StopIteration):
        next(run)


def test_stopping_is_ceasing_to_iterate():
    run = pc.finetune("digits", pc.LoRA(rank=2), steps=1000)
    for record in run:
        if record.step == 3:
            break
    run.close()
    assert list(run) == []
    assert all(p.grad is None for p in run.module.parameters())
    assert run.student.changes()[0].direction_change > 0  # the module stays, trained so far
    with pc.finetune("digits", "full", steps=2) as run:
        next(run)
    assert list(run) == []


def test_updates_and_their_rank():
    run = pc.finetune("rank", pc.LoRA(rank=3), steps=20)
    list(run)
    (update,) = run.student.updates().values()
    assert pc.rank_of(update).within(3) == pytest.approx(1, abs=1e-6)
    run = pc.finetune("rank", pc.Full(), steps=300, teacher_rank=2)
    list(run)
    (update,) = run.student.updates().values()
    assert pc.rank_of(update).within(2) > 0.999


def test_the_reference_of_a_quantized_run_is_the_dequantized_base():
    run = pc.finetune("rank", pc.QLoRA(rank=3), steps=5)
    next(run)
    assert run.student.changes()[0].direction_change < 1e-12  # before training nothing has moved
    (before, _), original = next(iter(run.student.matrices().values())), run.student.problem.base.numpy()
    assert 0.01 < np.linalg.norm(before - original) / np.linalg.norm(original) < 0.2


def test_the_code_repeats_the_run(capsys):
    code = run_code("digits", pc.DoRA(rank=3), steps=4, seed=2, shift="inverted")
    names = {}
    exec(code, names)
    assert capsys.readouterr().out.startswith("0 ")
    again = last("digits", pc.DoRA(rank=3), steps=4, seed=2, shift="inverted")
    assert names["step"].loss == again.loss


def test_the_footprint_counts_storages_and_not_views():
    known = torch.zeros(10)
    with Footprint([known]) as footprint:
        x = torch.ones(100)
        y = x.view(10, 10)[2:].T
        z = x * 2
        del z
    assert footprint.peak_bytes == 40 + 400 + 400
    assert footprint.bytes == 40 + 400
    assert y.shape == (10, 8)


def test_a_step_of_full_fine_tuning_holds_weights_gradients_and_two_moments():
    """At least 16 bytes a parameter in float32; a LoRA step on the same module holds less."""
    full = last("names", pc.Full(), steps=2, batch=1)
    lora = last("names", pc.LoRA(rank=2), steps=2, batch=1)
    assert 16 * 803_968 < full.peak_bytes < 32 * 803_968
    assert lora.peak_bytes < full.peak_bytes / 2


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate_at(step, 200, 2.0) for step in range(1, 201)]
    assert max(rates) == rates[9] == 2.0
    assert rates[-1] == 0
    assert learning_rate_at(1, 1, 2.0) == 2.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "digit"}, "task must be one of .* got 'digit'; did you mean 'digits'"),
        ({"method": "dorra"}, "method must be one of .*; did you mean 'dora'"),
        ({"method": 3}, "method must be a method"),
        ({"steps": 0}, "steps must be between 1 and 100,000, got 0"),
        ({"seed": -1}, "seed must be between 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be a positive number"),
        ({"weight_decay": -0.1}, "weight_decay must be a number of at least 0, got -0.1"),
        ({"batch": 0}, "batch must be between 1"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda, got 'tpu'"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"evaluations": 0}, "evaluations must be between"),
        ({"country": "Japan"}, "option of the task digits must be one of shift, got 'country'"),
        ({"shift": "rotate"}, "shift must be one of .*; did you mean 'rotated'"),
        ({"task": "names:Atlantis"}, "country must be one of Japan"),
        ({"task": "rank:four"}, "teacher_rank must be a int, got 'four'"),
        ({"method": pc.LoRA(targets=["q_pro"])}, "match no module"),
    ],
)
def test_bad_input_is_one_sentence_at_the_call(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        pc.finetune(**{"task": "digits", "method": "lora", **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no CUDA device"):
        pc.finetune("digits", "lora", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_same_on_cuda():
    cpu, cuda = (last("digits", pc.DoRA(rank=4), steps=20, device=device) for device in ("cpu", "cuda"))
    assert cuda.loss == pytest.approx(cpu.loss, rel=1e-2)
    assert cuda.peak_bytes > 0


def test_settings_fill_in_the_defaults_of_the_task():
    settings = run_settings("names:Finland", pc.QDoRA(rank=4))
    record = settings.record
    assert (settings.steps, settings.batch) == (record.steps, record.batch)
    assert settings.learning_rate == record.learning_rates["qdora"]
    assert settings.options == {"country": "Finland"}
