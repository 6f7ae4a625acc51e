"""What a training script learns from: for each kind of model its example data, how they are prepared, and the loss.

A script is the same for every model but for these lines. Each example is small and stands in the script; a path to a
file of JSON lines with the same keys may take its place.
"""

from __future__ import annotations

from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.media_objectives import PICTURE_MEANINGS, PICTURES, SPEECH
from peftcalc.recipes.model_class import ModelClass
from peftcalc.recipes.objective import Objective
from peftcalc.recipes.text_objectives import ANSWERS, LABELS, MASKED, MEANINGS, PAIRS, TAGS, TEXT

_BY_CLASS = {
    "AutoModelForCausalLM": TEXT,
    "AutoModelForMaskedLM": MASKED,
    "AutoModelForSeq2SeqLM": PAIRS,
    "AutoModelForSequenceClassification": LABELS,
    "AutoModelForTokenClassification": TAGS,
    "AutoModelForQuestionAnswering": ANSWERS,
    "AutoModelForImageClassification": PICTURES,
    "AutoModelForSpeechSeq2Seq": SPEECH,
}


def objective(shapes: ModelShapes, loaded: ModelClass) -> Objective:
    """How a model of this class is trained.

    Raises:
        ValueError: a kind of model for which no script is written.

    >>> from peftcalc.models.load import load_model
    >>> from peftcalc.recipes.model_class import model_class
    >>> gpt2 = load_model({"model_type": "gpt2"})
    >>> objective(gpt2, model_class(gpt2)).learns
    'to continue text'
    """
    if loaded.name in _BY_CLASS:
        return _BY_CLASS[loaded.name]
    config, name = shapes.config, shapes.architecture
    if loaded.name == "AutoModelForImageTextToText" or ("vision_config" in config and "text_config" in config):
        return TEXT  # its language half; pictures would need each model's own layout of tokens
    if name.endswith("ForConditionalGeneration") and config.get("is_encoder_decoder") is not False:
        return SPEECH if "num_mel_bins" in config else PAIRS
    if name.endswith(("ForImageClassification",)):
        return PICTURES
    if name.endswith("ForSequenceClassification"):
        return LABELS
    if loaded.name == "AutoModel" or (name.endswith("Model") and "Head" not in name):
        return MEANINGS if config.get("vocab_size") else PICTURE_MEANINGS
    raise ValueError(f"no training script is written for {name}; the code above it loads the model and its adapter")
