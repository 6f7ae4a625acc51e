"""How low a rank is enough? A teacher of known rank, a real update's spectrum, alpha, dropout."""

from __future__ import annotations

from peftcalc.ui import page, sections
from peftcalc.ui.pages import link_to
from peftcalc.ui.rank.alpha import alpha
from peftcalc.ui.rank.dropout import dropout
from peftcalc.ui.rank.known_rank import known_rank
from peftcalc.ui.rank.real_update import real_update


def main() -> None:
    page.open_page(
        "How low a rank is enough?",
        "LoRA changes a weight by two thin matrices. Their rank is how many independent parts the change can have.",
    )
    sections.show(
        {
            "a known rank": known_rank,
            "a real update": real_update,
            "alpha": alpha,
            "dropout": dropout,
        }
    )
    link_to("findings", "What has been found since about rank, alpha and the learning rate: Findings")


main()
