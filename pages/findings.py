"""What has been found about LoRA since 2021, tried again: a claim a section, the last the article's own."""

from __future__ import annotations

from peftcalc.ui import page, sections
from peftcalc.ui.findings.alpha import alpha
from peftcalc.ui.findings.article import article
from peftcalc.ui.findings.capacity import capacity
from peftcalc.ui.findings.forgetting import forgetting
from peftcalc.ui.findings.intruders import intruders
from peftcalc.ui.findings.layers import layers
from peftcalc.ui.findings.learning_rate import learning_rate
from peftcalc.ui.findings.merging import merging
from peftcalc.ui.findings.starts import starts
from peftcalc.ui.pages import entry_at


def main() -> None:
    page.open_page(
        entry_at("findings").question,
        "LoRA trains two thin strips beside a frozen model. What papers claim about it is tried again here, many "
        "times. Guess first; then both answers open.",
    )
    sections.grouped(
        {
            "first: set it up": {"learning rate": learning_rate, "capacity": capacity, "alpha": alpha},
            "then: what it changes": {"forgetting": forgetting, "intruders": intruders, "merging": merging},
            "more choices": {"starts": starts, "layers": layers, "the article": article},
        }
    )


main()
