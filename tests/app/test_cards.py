"""Cards: what a claim, an empty place and a filled bar say, text from outside as text, and matrices that add up."""

from __future__ import annotations

import io
import re
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from peftcalc.lab.findings.claims import CLAIMS
from peftcalc.plots.findings.curves import rates_chart
from peftcalc.ui import cards
from peftcalc.ui.lessons.findings.waits import DRAWN
from peftcalc.ui.rank.parts import SIZE, as_a_sum, places


def test_what_comes_from_data_is_text():
    drawn = cards.said("<b>", "a < b & c", "<i>") + cards.answer(("<script>", "LoRA", ""), cards.waits("<u>"))
    assert not re.search(r"<(script|u|i)>(?!\?)", drawn)
    assert "a &lt; b &amp; c" in drawn


def test_a_bar_is_as_long_as_what_it_says():
    assert 'class="fills" aria-hidden="true"><div style="width:75.0%"></div><span style="left:100.0%">' in cards.filled(
        "", 3, 4, ""
    )
    assert '<div style="width:100.0%"></div><span style="left:50.0%">' in cards.filled("", 4, 2, "")


def test_every_claim_says_what_is_drawn_before_the_guess_and_nothing_of_its_answer():
    assert set(DRAWN) == {name for name in CLAIMS if not name.startswith("smollm2")}
    assert all(CLAIMS[name].badge not in " ".join(words) for name, words in DRAWN.items())


@pytest.mark.parametrize("teacher_rank", [1, 4, 8])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_sum_has_a_picture_for_the_whole_and_for_each_part(teacher_rank, theme):
    drawn = as_a_sum(teacher_rank, "decaying", theme, False)
    pictures = [np.array(Image.open(io.BytesIO(b64decode(code)))) for code in re.findall('base64,([^"]+)', drawn)]
    assert [picture.shape for picture in pictures] == [(SIZE, SIZE, 3)] * (teacher_rank + 1)
    assert sum(map(int, re.findall(r"(\d+)%<", drawn))) == pytest.approx(100, abs=teacher_rank)
    assert drawn.count('alt="') == teacher_rank + 1


def test_the_question_frames_three_of_four_and_marks_their_place():
    inside, outside = as_a_sum(4, "equal", "light", True).split('class="fits ahead"')
    assert "%" not in inside.partition('class="fits"')[2] + outside, "no answer before the guess"
    assert ("part 3" in inside, "part 4" in inside, "part 4" in outside) == (True, False, True)
    assert re.findall(r'asked"><i>\?</i>(rank \d+)', places(True)) == ["rank 3"]
    assert "asked" not in places(False)


def test_an_interval_far_longer_than_the_curves_ends_in_arrows_with_its_half_in_words():
    point = {"series": "full fine-tuning", "seeds": 10}
    rows = [
        {**point, "x": 0.01, "mean": 0.2, "low": 0.19, "high": 0.21},
        {**point, "x": 0.03, "mean": 0.4, "low": -0.6, "high": 1.4},
    ]
    spec = rates_chart(rows, "cross-entropy", "Where?").to_dict()
    drawn, beyond = spec["datasets"]["points"], spec["datasets"]["beyond"]
    assert [(one["x"], one["arrow"], one["says"]) for one in beyond] == [(0.03, "▲", "± 1"), (0.03, "▼", "")]
    assert drawn[0]["to"] == 0.21
    assert 0.4 < drawn[1]["to"] < 0.6
    assert 0 < drawn[1]["from"] < 0.2
    assert drawn[1]["high"] == 1.4  # what pointing tells
    assert spec["datasets"]["asked"] == [{"says": "Where?"}]
    assert rates_chart(rows, "cross-entropy").to_dict()["datasets"]["asked"] == []
