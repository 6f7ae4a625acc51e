"""What a stranger's configuration may cost: bounded before and while it is built, and it asks the net for nothing."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from peftcalc.models.bounded import building, without_storage
from peftcalc.models.bounded.building import bounded
from peftcalc.models.bounded.no_network import NetworkClosed, closed_network
from peftcalc.models.limits import MAX_EXPERTS_IN_LAYERS, MAX_LAYERS, check_config
from peftcalc.models.load import load_model


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"num_experts": 1_000, "num_layers": 1_000}, "1,000 × 1,000 = 1,000,000"),
        ({"text_config": {"n_routed_experts": 5_000, "num_hidden_layers": 41}}, "text_config.layers times experts"),
        ({"depths": [100] * 21}, "depths must add up to at most 2,000 layers, got 2,100"),
        ({"num_blocks": [[1_000], [1_001]]}, "got 2,001"),
        ({"num_labels": 100_001}, "num_labels must be between 0 and 100,000"),
    ],
)
def test_products_and_sums_of_counts_are_bounded_before_anything_is_built(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        check_config(config)


def test_the_numbers_of_chosen_layers_are_not_added_up() -> None:
    check_config({"num_hidden_layers": 100, "global_attention_layers": list(range(100)), "num_experts": 1_000})
    check_config({"depths": [MAX_LAYERS // 4] * 4})
    check_config({"num_experts": MAX_EXPERTS_IN_LAYERS // 100, "num_layers": 100})


@pytest.mark.parametrize("what", ["module", "parameter", "buffer"])
def test_building_ends_at_the_limit_whatever_is_registered(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(building, "MOST_REGISTERED", 20)
    owner = nn.Module()

    def register(number: int) -> None:
        if what == "module":
            owner.add_module(f"m{number}", nn.Identity())
        elif what == "parameter":
            owner.register_parameter(f"p{number}", nn.Parameter(torch.empty(1, device="meta")))
        else:
            owner.register_buffer(f"b{number}", torch.empty(1, device="meta"))

    with bounded("the model"):
        for number in range(20):
            register(number)
    with pytest.raises(ValueError, match=r"^the model has more than 20 modules and parameters, the limit$"):
        _register_bounded(register)
    for number in range(100):  # outside nothing is bounded
        register(number + 300)


def _register_bounded(register: Callable[[int], None]) -> None:
    with bounded("the model"):
        for number in range(100):
            with contextlib.suppress(Exception):  # as constructors do
                register(number + 100)


def test_a_build_inside_a_build_is_bounded_with_it_and_other_threads_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_REGISTERED", 10)
    free: list[int] = []

    def build() -> None:
        with bounded("the whole"):
            thread = threading.Thread(
                target=lambda: free.append(len(nn.Sequential(*(nn.Identity() for _ in range(50)))))
            )
            thread.start()
            thread.join()
            with bounded("the part"):
                nn.Sequential(*(nn.Identity() for _ in range(8)))
            nn.Sequential(*(nn.Identity() for _ in range(8)))

    with pytest.raises(ValueError, match=r"^the whole has more than 10"):
        build()
    assert free == [50]


def test_building_ends_at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_SECONDS", -1.0)
    with pytest.raises(ValueError, match="takes longer to build than -1 s"):
        load_model({"model_type": "llama", "num_hidden_layers": 60})


def test_who_waits_has_a_patience_of_their_own_whatever_computing_was_done() -> None:
    with (
        pytest.raises(ValueError, match=r"^the model takes longer to build than -1 s, the limit$"),
        bounded("the model", -1.0),
    ):
        nn.Sequential(*(nn.Identity() for _ in range(300)))
    with bounded("the model"):  # nobody waits
        nn.Sequential(*(nn.Identity() for _ in range(300)))


@pytest.mark.parametrize("model_type", ["bert", "wav2vec2", "mixtral"])
def test_nothing_is_drawn_for_shapes_and_they_stay_the_same(monkeypatch: pytest.MonkeyPatch, model_type: str) -> None:
    quick = load_model({"model_type": model_type})
    monkeypatch.setattr(without_storage, "_DRAWS", frozenset())
    assert load_model({"model_type": model_type}) == quick


def test_no_starting_value_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(torch.nn.init, "_no_grad_uniform_", lambda *_: drawn.append("uniform"))
    with without_storage.without_storage():
        assert nn.Linear(3, 5).weight.shape == (5, 3)
        assert nn.init.kaiming_uniform_(tensor=torch.empty(2, 2)).is_meta
    assert not drawn


def test_the_net_is_closed_to_this_thread_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reached: list[bool] = []

        def ask() -> None:
            with socket.create_connection(server.getsockname()[:2], 5):
                reached.append(True)

        with closed_network() as asked:
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            with pytest.raises(NetworkClosed):
                ask()
        assert reached == [True]
        assert asked
        ask()  # open again
        assert reached == [True, True]


def test_a_request_that_somebody_swallows_is_still_refused() -> None:
    def build() -> None:
        with bounded("the model"), contextlib.suppress(Exception):  # and a default is built in its place
            socket.getaddrinfo("huggingface.co", 443)

    with pytest.raises(ValueError, match="takes a part from another repository"):
        build()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "detr", "backbone": "someone/bb", "use_timm_backbone": False},
        {"model_type": "dpt", "backbone": "someone/bb", "use_pretrained_backbone": True},
        {"model_type": "upernet", "backbone": "someone/bb", "backbone_config": None},
        {"model_type": "llava", "vision_config": {"model_type": "detr", "backbone": "a/b", "use_timm_backbone": False}},
    ],
)
def test_a_backbone_of_another_repository_is_a_sentence_and_no_request(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=r"takes a part from another repository|names its backbone as a repository"):
        load_model(config)


def test_names_of_repositories_that_nobody_needs_are_left_alone() -> None:
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    plain = {"model_type": "llava", "text_config": {"model_type": "llama", **small}}
    named = {**small, "model_type": "llama", "_name_or_path": "someone/text", "_attn_implementation": "some/kernel"}
    assert load_model({**plain, "text_config": named}).groups == load_model(plain).groups
