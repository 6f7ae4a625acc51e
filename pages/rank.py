"""How low a rank is enough? A teacher of known rank, a real update's spectrum, scaling, loss by rank, dropout."""

from __future__ import annotations

from peftcalc.ui import page, state
from peftcalc.ui.rank.dropout import dropout
from peftcalc.ui.rank.known_rank import known_rank
from peftcalc.ui.rank.real_update import real_update
from peftcalc.ui.rank.scaling import scaling


def main() -> None:
    page.open_page(
        "How low a rank is enough?",
        "As low as the change that the task asks for. First a teacher whose rank is known, then "
        "[a real update](#real-update), then [alpha](#scaling) and [dropout](#dropout).",
    )
    known_rank()
    real_update()
    scaling()
    dropout()
    state.link_notes()


main()
