"""Of each claim, in plain words: what its picture shows before the guess, and what comes with it."""

DRAWN = {
    "learning-rate": (
        "the error when all numbers are trained, by learning rate: how far a step goes. A circle marks the lowest.",
        "the same for LoRA of rank 1, 4, 16 and 64.",
    ),
    "capacity": (
        "the share of 160 random labels that each rank learns by heart: nearly all of them.",
        "the curves of 640 and of 1,280 images.",
    ),
    "alpha": (
        "the error of α = 16 by learning rate, the size of a training step. Yellow is good, the framed one best.",
        "the rows of α = 1, 4 and 64.",
    ),
    "merging": (
        "how wrong the model is before anything is merged: untrained, and with its adapter beside it.",
        "what each way of merging changes.",
    ),
    "forgetting": (
        "full fine-tuning at its learning rates. Lower has learned more, further right has forgotten more.",
        "the curves of LoRA and its relatives.",
    ),
    "intruders": (
        "how strongly a matrix acts along each of its directions after full fine-tuning, and which of these are new.",
        "the same of LoRA.",
    ),
    "starts": (
        "LoRA-FA, which never trains A. Left of the line would be better than plain LoRA.",
        "PiSSA, OLoRA, LoRA+ and rsLoRA.",
    ),
    "layers": (
        "how many numbers each of the three trains: as many, nearly.",
        "how wrong each of them stays.",
    ),
}
"""By the claim's name; neither gives the answer away."""
