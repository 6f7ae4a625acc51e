"""Target rules: the same decision as peft's own function, for names and options drawn at random."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from peftcalc.methods import LoRA
from peftcalc.targets import is_target, no_match_error, pattern_value

segments = st.sampled_from(
    ["model", "layers", "h", "0", "1", "12", "attn", "q_proj", "v_proj", "experts", "lm_head", "xq_proj"]
)
names = st.lists(segments, min_size=1, max_size=6).map(".".join)
targets = st.lists(st.sampled_from(["q_proj", "attn.q_proj", "v_proj", "proj", "lm_head", "0"]), min_size=1, max_size=3)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    name=names,
    targets=targets | st.sampled_from([r".*\.q_proj", r"model\..*proj", ".*attn.*"]),
    exclude=st.just(())
    | st.lists(st.sampled_from(["v_proj", "lm_head"]), max_size=1).map(tuple)
    | st.just(r".*\.1\..*"),
    saved=st.lists(st.sampled_from(["lm_head", "attn"]), max_size=1),
    layers=st.none() | st.lists(st.sampled_from([0, 1, 12]), max_size=2),
    pattern=st.none() | st.sampled_from(["layers", "h", ["h", "layers"]]),
)
def test_the_same_decision_as_peft(name, targets, exclude, saved, layers, pattern):
    if isinstance(targets, str):
        layers = pattern = None
    if layers is None:
        pattern = None
    method = LoRA(
        targets=targets, exclude=exclude, modules_to_save=saved, layers_to_transform=layers, layers_pattern=pattern
    )
    found = check_target_module_exists(method.to_peft(), name)
    theirs = bool(found) and type(found).__name__ != "_ExcludedModule"
    assert is_target(name, method) is theirs


@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=names, keys=st.lists(st.sampled_from(["q_proj", "attn.v_proj", r".*\.0\..*", "proj"]), unique=True))
def test_patterns_give_the_same_value_as_peft(name, keys):
    patterns = {key: index for index, key in enumerate(keys)}
    assert pattern_value(patterns, name, -1) == patterns.get(get_pattern_key(list(patterns), name), -1)


def test_a_pattern_that_hangs_is_stopped():
    with pytest.raises(ValueError, match="takes too long"):
        is_target("a" * 60 + "b", LoRA(targets="(a|aa)+c"))


def test_a_broken_pattern_is_a_sentence():
    with pytest.raises(ValueError, match="not a regular expression"):
        is_target("q_proj", LoRA(targets="(q_proj"))


def test_no_match_lists_what_exists_and_the_nearest():
    error = no_match_error(["qproj"], ["m.0.q_proj", "m.0.v_proj", "m.1.q_proj"])
    assert str(error) == "targets 'qproj' match no module; this model has q_proj, v_proj; nearest: q_proj"
