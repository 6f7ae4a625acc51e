"""What scripts for models of pictures and speech learn from: example data, how they are prepared, and the loss."""

from __future__ import annotations

from peftcalc.recipes.objective import Objective

_PICTURE = """\
processor = AutoImageProcessor.from_pretrained(MODEL)


def pixels(name):
    \"\"\"The picture in a file, or, for the example, a plain one in a colour.\"\"\"
    picture = Image.open(name).convert("RGB") if os.path.exists(name) else Image.new("RGB", (256, 256), name)
    return processor(images=picture, return_tensors="pt")["pixel_values"][0]


"""
_PICTURE_IMPORTS = ("import os", "from PIL import Image")
PICTURES = Objective(
    "to give a picture one of the model's classes",
    (
        '{"image": "red", "label": 0}',
        '{"image": "blue", "label": 1}',
        '{"image": "orange", "label": 0}',
        '{"image": "navy", "label": 1}',
    ),
    _PICTURE
    + """\
examples = [{"pixel_values": pixels(row["image"]), "labels": row["label"]} for row in rows]
collate = default_data_collator
""",
    ("AutoImageProcessor", "default_data_collator"),
    _PICTURE_IMPORTS,
)
PICTURE_MEANINGS = Objective(
    "to place pictures that are alike close together (cosine of the mean hidden states against a score)",
    (
        '{"image": "red", "other": "orange", "score": 0.8}',
        '{"image": "blue", "other": "navy", "score": 0.9}',
        '{"image": "red", "other": "navy", "score": 0.0}',
        '{"image": "orange", "other": "blue", "score": 0.1}',
    ),
    _PICTURE
    + """\
class PairTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **_):
        left, right = (model(inputs[side]).last_hidden_state.float().mean(dim=1) for side in ("image", "other"))
        loss = torch.nn.functional.mse_loss(torch.cosine_similarity(left, right), inputs["score"])
        return (loss, {"loss": loss}) if return_outputs else loss


examples = [{"image": pixels(row["image"]), "other": pixels(row["other"]), "score": row["score"]} for row in rows]
collate = default_data_collator
""",
    ("AutoImageProcessor", "default_data_collator"),
    _PICTURE_IMPORTS,
    "PairTrainer",
)
SPEECH = Objective(
    "to write down what is heard",
    (
        '{"audio": 220, "text": "a low tone"}',
        '{"audio": 440, "text": "the tone of a tuning fork"}',
        '{"audio": 880, "text": "a high tone"}',
        '{"audio": 1760, "text": "a very high tone"}',
    ),
    """\
extractor = AutoFeatureExtractor.from_pretrained(MODEL)
tokenizer = AutoTokenizer.from_pretrained(MODEL)


def sound(audio):
    \"\"\"A wave file of 16-bit mono at the model's rate, or, for the example, a tone of so many hertz.\"\"\"
    if isinstance(audio, str):
        with wave.open(audio) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    return 0.3 * np.sin(2 * np.pi * audio * np.arange(extractor.sampling_rate) / extractor.sampling_rate)


def heard(row):
    found = extractor(sound(row["audio"]), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return {"input_features": found["input_features"][0], "labels": tokenizer(row["text"]).input_ids[:SEQUENCE]}


def collate(batch):
    labels = [torch.tensor(row["labels"]) for row in batch]
    labels = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
    features = torch.stack([row["input_features"] for row in batch])
    return {"input_features": features.to(model.dtype), "labels": labels}


examples = [heard(row) for row in rows]
""",
    ("AutoFeatureExtractor", "AutoTokenizer"),
    ("import wave", "import numpy as np"),
)
