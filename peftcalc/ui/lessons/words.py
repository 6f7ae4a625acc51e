"""The words that every page uses, for whoever comes to one of them first: a line each."""

WORDS = {
    "Weight matrix, W": "A table of numbers. A model is hundreds of them, and to train is to change them.",
    "Full fine-tuning": "A model that is already trained goes on learning, and every number may change.",
    "LoRA": "*Low-rank adaptation.* W is frozen; two thin matrices, B and A, are trained, and s · B A is added to W.",
    "Rank, r": "How thin B and A are: B has r columns and A has r rows.",
    "Alpha, α": "How loud the adapter is: s = α / r.",
    "DoRA": "*Weight-decomposed LoRA.* B and A turn each row of W, and a number a row, its magnitude, sets its length.",
    "QLoRA, QDoRA": "LoRA and DoRA over a W in four bits a number, each rounded to one of sixteen levels.",
    "Adapter": "What is trained and stored beside the frozen model, the base: megabytes instead of gigabytes.",
    "Gradient, moments": "For each trained number: which way to move it, and two running means to steer by.",
    "Loss": "How wrong the model is. Training lowers it.",
}
"""By word, as Markdown."""
