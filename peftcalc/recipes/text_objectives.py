"""What scripts for models of text learn from: example data, how they are prepared, and the loss."""

from __future__ import annotations

from peftcalc.recipes.objective import Objective

_TOKENIZER = """\
tokenizer = AutoTokenizer.from_pretrained(MODEL)
"""
_PADDED = (
    _TOKENIZER
    + """\
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
"""
)
_SENTENCES = (
    '{"text": "The ferry to the island leaves at nine."}',
    '{"text": "The last ferry back leaves at six."}',
    '{"text": "On Sundays the ferry does not leave."}',
    '{"text": "The island has a lighthouse and two farms."}',
)
_LABELLED = (
    '{"text": "The ferry left on time and the sea was calm.", "label": 1}',
    '{"text": "We waited two hours in the rain.", "label": 0}',
    '{"text": "The crew was kind.", "label": 1}',
    '{"text": "The cabin was cold and loud.", "label": 0}',
)

TEXT = Objective(
    "to continue text",
    _SENTENCES,
    _PADDED
    + """\
end = tokenizer.eos_token or ""
examples = [tokenizer(row["text"] + end, truncation=True, max_length=SEQUENCE) for row in rows]
collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
""",
    ("AutoTokenizer", "DataCollatorForLanguageModeling"),
)
MASKED = Objective(
    "to fill in words that are hidden",
    _SENTENCES,
    _TOKENIZER
    + """\
examples = [tokenizer(row["text"], truncation=True, max_length=SEQUENCE) for row in rows]
collate = DataCollatorForLanguageModeling(tokenizer, mlm=True, mlm_probability=0.3)
""",
    ("AutoTokenizer", "DataCollatorForLanguageModeling"),
)
PAIRS = Objective(
    "to answer a text with a text",
    (
        '{"text": "translate to French: the ferry", "target": "le bac"}',
        '{"text": "translate to French: the island", "target": "l\'île"}',
        '{"text": "translate to French: the lighthouse", "target": "le phare"}',
        '{"text": "translate to French: the farm", "target": "la ferme"}',
    ),
    _TOKENIZER
    + """\
examples = [
    tokenizer(row["text"], text_target=row["target"], truncation=True, max_length=SEQUENCE) for row in rows
]
collate = DataCollatorForSeq2Seq(tokenizer)
""",
    ("AutoTokenizer", "DataCollatorForSeq2Seq"),
)
LABELS = Objective(
    "to give a text one of several labels",
    _LABELLED,
    _PADDED
    + """\
examples = [{**tokenizer(row["text"], truncation=True, max_length=SEQUENCE), "labels": row["label"]} for row in rows]
collate = DataCollatorWithPadding(tokenizer)
""",
    ("AutoTokenizer", "DataCollatorWithPadding"),
    loaded="model.config.pad_token_id = tokenizer.pad_token_id",
)
TAGS = Objective(
    "to give every word a tag",
    (
        '{"words": ["Ann", "took", "the", "ferry"], "tags": [1, 0, 0, 0]}',
        '{"words": ["the", "ferry", "waited", "for", "Ben"], "tags": [0, 0, 0, 0, 1]}',
        '{"words": ["Cleo", "lives", "on", "the", "island"], "tags": [1, 0, 0, 0, 0]}',
        '{"words": ["nobody", "saw", "Dan"], "tags": [0, 0, 1]}',
    ),
    _PADDED
    + """\


def tagged(row):
    \"\"\"A token has the tag of the word in which it ends; -100 is left out of the loss.\"\"\"
    text, tags = " ".join(row["words"]), []
    for word, tag in zip(row["words"], row["tags"], strict=True):
        tags += [tag] * (len(word) + 1)
    encoded = tokenizer(text, truncation=True, max_length=SEQUENCE, return_offsets_mapping=True)
    spans = encoded.pop("offset_mapping")
    return {**encoded, "labels": [tags[end - 1] if end > start else -100 for start, end in spans]}


examples = [tagged(row) for row in rows]
collate = DataCollatorForTokenClassification(tokenizer)
""",
    ("AutoTokenizer", "DataCollatorForTokenClassification"),
)
ANSWERS = Objective(
    "to find an answer in a text",
    (
        '{"question": "When does it leave?", "context": "The ferry leaves at nine.", "answer": "at nine"}',
        '{"question": "Who steers?", "context": "On Monday Ann steers the ferry.", "answer": "Ann"}',
        '{"question": "What is there?", "context": "The island has a lighthouse.", "answer": "a lighthouse"}',
        '{"question": "Where do they live?", "context": "They live on the farm.", "answer": "on the farm"}',
    ),
    _PADDED
    + """\


def marked(row):
    \"\"\"Question and context, with the first and the last token of the answer; token 0 where it was cut off.\"\"\"
    encoded = tokenizer(row["question"], row["context"], truncation="only_second", max_length=SEQUENCE,
                        return_offsets_mapping=True)
    first = row["context"].index(row["answer"])
    last = first + len(row["answer"])
    spans = zip(encoded.pop("offset_mapping"), encoded.sequence_ids(), strict=True)
    within = [at for at, ((start, end), part) in enumerate(spans) if part == 1 and start < last and end > first]
    return {**encoded, "start_positions": min(within, default=0), "end_positions": max(within, default=0)}


examples = [marked(row) for row in rows]
collate = DataCollatorWithPadding(tokenizer)
""",
    ("AutoTokenizer", "DataCollatorWithPadding"),
)
MEANINGS = Objective(
    "to place texts that mean the same close together (cosine of the mean hidden states against a score)",
    (
        '{"text": "The ferry leaves at nine.", "other": "The boat departs at 9.", "score": 1.0}',
        '{"text": "The ferry leaves at nine.", "other": "Sheep graze on the farm.", "score": 0.0}',
        '{"text": "The island has a lighthouse.", "other": "There is a lighthouse.", "score": 0.9}',
        '{"text": "The island has a lighthouse.", "other": "The soup was cold.", "score": 0.0}',
    ),
    _PADDED
    + """\


def collate(batch):
    sides = {
        side: tokenizer([row[side] for row in batch], padding=True, truncation=True, max_length=SEQUENCE,
                        return_tensors="pt")
        for side in ("text", "other")
    }
    return {**sides, "score": torch.tensor([row["score"] for row in batch])}


class PairTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **_):
        left, right = (model(**inputs[side]).last_hidden_state.float().mean(dim=1) for side in ("text", "other"))
        loss = torch.nn.functional.mse_loss(torch.cosine_similarity(left, right), inputs["score"])
        return (loss, {"loss": loss}) if return_outputs else loss


examples = rows
""",
    trainer="PairTrainer",
)
