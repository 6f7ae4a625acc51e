"""Target rules: the same decision as peft's own function, for names and options drawn at random."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from peftcalc import targets as module
from peftcalc.counting.count import count
from peftcalc.methods import LoRA
from peftcalc.models.load import load_model
from peftcalc.targets import MORE_UNFOLDED, is_target, no_match_error, pattern_deadline, pattern_value
from peftcalc.targets.unfolding import unfolded_parts

segments = st.sampled_from(
    ["model", "layers", "h", "0", "1", "12", "attn", "q_proj", "v_proj", "experts", "lm_head", "xq_proj"]
)
keys = st.sampled_from(["q_proj", "attn.v_proj", "attn0q_proj", "0.attn", r".*\.0\..*", "proj"])
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
@given(
    name=names,
    keys=st.lists(
        st.sampled_from(["q_proj", "attn.v_proj", "attn0q_proj", "0.attn", r".*\.0\..*", "proj"]), unique=True
    ),
)
def test_patterns_give_the_same_value_as_peft(name, keys):
    patterns = {key: index for index, key in enumerate(keys)}
    assert pattern_value(patterns, name, -1) == patterns.get(get_pattern_key(list(patterns), name), -1)


def test_a_pattern_that_hangs_is_stopped():
    with pytest.raises(ValueError, match="takes too long"):
        is_target("a" * 60 + "b", LoRA(targets="(a|aa)+c"))


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("a{9999999}", 9_999_999),  # eleven characters that took 2.6 GB
        ("(?:(?:ab|c){1000}){1000}", 4_000_000),  # which ended the process
        ("(?:.{65535}){65535}", 65_535**2),
        ("(?:.{1000,}){1000,}", 1_000_000),
        ("(?:(?:.{1000})?){1000}", 1_000_000),  # it may match nothing, and is written out all the same
        ("(?:.{1000}){1000}?", 1_000_000),
        ("(?=(?:.{1000}){1000})", 1_000_001),
        ("(?x: (?:.{1000}) # a remark\n {1000} )", 1_000_001),
        ("(?:.{1000}(?#remark)){1000}", 1_000_000),
    ],
)
def test_a_pattern_that_unfolds_is_refused_before_it_does(pattern: str, parts: int):
    """Within the memory that it takes to read it."""
    assert unfolded_parts(pattern) == parts
    for method in (
        LoRA(targets=pattern),
        LoRA(targets=["q_proj"], exclude=pattern),
        LoRA(targets=["q_proj"], modules_to_save=(pattern,)),
        LoRA(targets=["q_proj"], layers_to_transform=(0,), layers_pattern=pattern),
    ):
        with pytest.raises(ValueError, match="parts when its repeats are written out"):
            is_target("model.layers.0.q_proj", method)
    with pytest.raises(ValueError, match="parts when its repeats are written out"):
        pattern_value({pattern: 4}, "q_proj", 8)


def test_what_repeats_little_is_no_such_pattern():
    assert unfolded_parts("(a|b{3})+[xyz]{2,5}") == 8
    most = "a{1007}"
    assert unfolded_parts(most) == len(most) + MORE_UNFOLDED
    assert is_target("a" * 1007, LoRA(targets=most))
    with pytest.raises(ValueError, match="has 1,008 parts when its repeats are written out; at most 1,007"):
        is_target("a" * 1008, LoRA(targets="a{1008}"))


def test_of_long_patterns_few_are_kept(monkeypatch: pytest.MonkeyPatch):
    """Neither here nor in the package, which would keep five hundred."""
    asked: list[dict[str, Any]] = []
    compiled = module.regex.compile
    monkeypatch.setattr(module.regex, "compile", lambda *a, **more: asked.append(more) or compiled(*a, **more))
    before = module._compiled.cache_info().currsize
    for number in range(40):
        assert not is_target("q_proj", LoRA(targets=f"{number:a>1001}"))
    assert module._compiled.cache_info().currsize == before
    assert module._compiled_long.cache_info().maxsize == 16
    assert asked == [{"cache_pattern": False}] * 40


def test_a_broken_pattern_is_a_sentence():
    with pytest.raises(ValueError, match="not a regular expression"):
        is_target("q_proj", LoRA(targets="(q_proj"))


PATTERNS = [
    *("a{,}b", "a{,2}b", "a{}b", "a{x}", "a{1, 2}", "a{-1}", "x{2}{3}", r"\{e}", "(?:a){i}", "a{1,2}{e<=1}"),
    *("[[a]b]", "[[:alpha:]]x", ".*[[:alpha:]]_proj", "[^[:alpha:]]", "[]a[]+", "[^]a[b]", r"[\[\]]+", "[a&&b]"),
    *("(?:.*q_prj){e<=1}", "(?x) a b # [ {e}\n c", "(?#[){e}a", "(?i)Q_PROJ", "(?i:Q)_proj", "a++", "(?>a|ab)c"),
    *(r"\N{LATIN SMALL LETTER Q}_proj", r"[\N{LATIN SMALL LETTER Q}a]+_proj", r"(?x) \N{LATIN SMALL LETTER A} b"),
    *(r".*\.(?:(?P<x>q)|(?P<x>v))_proj", "(?e)a", r"\p{L}+", "(?<n>a)", "(?|a|b)", "a)|(b", r"\L<a>", "(?r)ab"),
    *(
        "[[a-z]--[aeiou]]",
        r"\m",
        "(?V1)[[a]]",
        "(?R)",
        "(*FAIL)",
        r"\X",
        "(?(DEFINE)a)b",
        "a{99999999999}",
        "*",
        "[z-a]",
    ),
]
NAMES = [
    *("", "a", "b", "x", "ab", "aab", "a{}b", "a{x}", "a{1, 2}", "a{-1}", "xxxxxx", "{e}", "{e}a", "a{i}", "aa{e<=1}"),
    *("[b]", "ab]", ":]x", "a]x", "]", "[[", "&", "abc", "ba", "q_proj", "Q_proj", "q_prj", "q_prj{e<=1}"),
    *("model.layers.0.self_attn.q_proj", "layers.1.v_proj", "lx_proj"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.filterwarnings("ignore:Possible")
def test_patterns_mean_what_they_mean_to_python(pattern):
    """peft uses `re`; the engine here, which has a time limit, knows more, and must not use it."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        with pytest.raises(ValueError, match="not a regular expression"):
            is_target("a", LoRA(targets=pattern))
        return
    for name in NAMES:
        assert is_target(name, LoRA(targets=pattern)) is (re.fullmatch(pattern, name) is not None), name


def test_what_python_reads_otherwise_is_said():
    error = no_match_error(".*[[:alpha:]]_proj", ["m.0.q_proj"])
    assert "Python's re, which peft uses, has no classes like [[:alpha:]]" in str(error)


def test_a_pattern_has_a_length():
    with pytest.raises(ValueError, match="at most 50,000 characters, got 60,000"):
        is_target("a", LoRA(targets="a" * 60_000))


def test_all_names_share_one_deadline():
    with pattern_deadline(seconds=0), pytest.raises(ValueError, match="takes too long"):
        is_target("q_proj", LoRA(targets=".*q_proj"))
    assert is_target("q_proj", LoRA(targets=".*q_proj"))


def test_no_match_lists_what_exists_and_the_nearest():
    error = no_match_error(["qproj"], ["m.0.q_proj", "m.0.v_proj", "m.1.q_proj"])
    assert str(error) == "targets 'qproj' match no module; this model has q_proj, v_proj; nearest: q_proj"


def test_a_pattern_of_thousands_of_parentheses_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="is nested too deeply"):
        is_target("q_proj", LoRA(targets="(" * 5_000 + ")" * 5_000))


@pytest.mark.parametrize(
    "settings",
    [
        {"targets": r"(?:.*.*.*.*.*.*.*.*)z_proj"},
        {"targets": ["c_attn"], "exclude": r"(?:.*.*.*.*.*.*.*.*)z_proj"},
        {"targets": ["c_attn"], "rank_pattern": {r"(?:.*.*.*.*.*.*.*.*)z_proj": 4}},
        {"targets": ["c_attn"], "modules_to_save": [r"(?:.*.*.*.*.*.*.*.*)z_proj"]},
    ],
)
def test_every_pattern_of_a_count_is_under_its_one_deadline(settings: dict[str, Any]) -> None:
    """Each match alone is quick enough; with no time left for all of them, the first is refused, wherever it stands."""
    shapes = load_model("openai-community/gpt2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peftcalc.counting.count.pattern_deadline", lambda: pattern_deadline(seconds=0))
        with pytest.raises(ValueError, match="takes too long"):
            count(shapes, LoRA(**settings))
