"""A real language model: it learns to turn a sentence into strict JSON, or reads the visitor's own text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from peftcalc.lab.tasks.json_facts import Fact, facts, is_json
from peftcalc.lab.tasks.language_models import load_language_model
from peftcalc.lab.tasks.problem import Batch, Evaluation, Problem, parameters_of

TRAINING_FACTS = 400
TEST_FACTS = 24
ANSWER_TOKENS = 40
LENGTH = 64
"""Tokens of a window of the visitor's own text."""
HELD_OUT_WINDOWS = 8
IGNORED = -100


class LanguageTask(Problem):
    """What the two uses have in common: a model, its tokenizer, and the loss on the tokens that have a label."""

    def __init__(self, model: str) -> None:
        loaded = load_language_model(model)
        self.tokenizer, self.module = loaded.tokenizer, loaded.module

    def loss(self, batch: Batch) -> Tensor:
        codes, labels, mask = batch
        logits = self.module(input_ids=codes, attention_mask=mask, use_cache=False).logits[:, :-1]
        asked = labels[:, 1:] != IGNORED
        return functional.cross_entropy(logits[asked].float(), labels[:, 1:][asked])

    def tokens(self, batch: Batch) -> int:
        return int(batch[2].sum())

    def write(self, prompts: list[str], count: int) -> list[str]:
        """What the model goes on with after each prompt, always its likeliest token, up to its end mark."""
        given = self.tokenizer(prompts, return_tensors="pt", padding=True).to(self.device)
        module: Any = self.module
        written = module.generate(
            **given, max_new_tokens=count, do_sample=False, temperature=None, top_p=None, top_k=None,
            pad_token_id=self.tokenizer.pad_token_id,
        )  # fmt: skip
        return self.tokenizer.batch_decode(written[:, given.input_ids.shape[1] :], skip_special_tokens=True)

    @torch.no_grad()
    def held_out(self, batches: list[tuple[Tensor, ...]]) -> float:
        """Mean loss over fixed batches."""
        losses = [self.loss(tuple(part.to(self.device) for part in batch)).item() for batch in batches]
        return sum(losses) / len(losses)


class JsonFacts(LanguageTask):
    """Sentences about cities to JSON: exact on 24 sentences with unseen templates and cities."""

    def __init__(self, seed: int, model: str) -> None:
        super().__init__(model)
        self.training, self.test = facts(TRAINING_FACTS, test=False), facts(TEST_FACTS, test=True)
        self.test_batches = [self.rows(self.test[i : i + 8]) for i in range(0, TEST_FACTS, 8)]

    def rows(self, chosen: list[Fact]) -> tuple[Tensor, ...]:
        """Codes, labels (the answer only) and mask of some facts, padded on the left: `(facts, length)` each."""
        pairs = [(self.tokenizer(fact.prompt).input_ids, self.tokenizer(fact.answer).input_ids) for fact in chosen]
        end = [self.tokenizer.eos_token_id]
        length = max(len(prompt) + len(answer) + 1 for prompt, answer in pairs)
        codes = torch.full((len(pairs), length), self.tokenizer.pad_token_id)
        labels, mask = torch.full_like(codes, IGNORED), torch.zeros_like(codes)
        for row, (prompt, answer) in enumerate(pairs):
            whole = torch.tensor(prompt + answer + end)
            codes[row, -len(whole) :], mask[row, -len(whole) :] = whole, 1
            labels[row, -len(answer) - 1 :] = whole[-len(answer) - 1 :]
        return codes, labels, mask

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(self.training), (size,), generator=generator).tolist()
        return self.rows([self.training[i] for i in chosen])

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Loss of the right answers; shares of answers that are exactly right, and that are JSON at all."""
        answers = [text.strip() for text in self.write([fact.prompt for fact in self.test], ANSWER_TOKENS)]
        exact = sum(answer == fact.answer.strip() for answer, fact in zip(answers, self.test, strict=True))
        metrics = {"exact": exact / TEST_FACTS, "json": sum(map(is_json, answers)) / TEST_FACTS}
        samples = [f"{fact.sentence}\n→ {answer}" for fact, answer in zip(self.test, answers, strict=True)]
        return Evaluation(self.held_out(self.test_batches), metrics, tuple(samples[:6]))

    def sizes(self) -> dict[str, int]:
        return {
            "base parameters": parameters_of(self.module),
            "training sentences": TRAINING_FACTS,
            "held-out sentences": TEST_FACTS,
        }


class OwnText(LanguageTask):
    """Windows of the visitor's own text; its last tenth is held out."""

    def __init__(self, seed: int, model: str, text: str) -> None:
        super().__init__(model)
        codes = self.tokenizer(text, return_tensors="pt").input_ids[0]
        least = 4 * LENGTH
        if len(codes) < least:
            raise ValueError(f"text must have at least {least} tokens, got {len(codes)}")
        first = min(len(codes) * 9 // 10, len(codes) - LENGTH - 1)
        self.training, rest = codes[:first], codes[first:]
        count = min(HELD_OUT_WINDOWS, (len(rest)) // LENGTH)
        self.test_batches = [self.rows(rest[i * LENGTH :][None, :LENGTH]) for i in range(count)]
        self.beginning = self.tokenizer.decode(rest[:16])

    @staticmethod
    def rows(codes: Tensor) -> tuple[Tensor, ...]:
        """Every token is a label."""
        return codes, codes, torch.ones_like(codes)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        starts = torch.randint(len(self.training) - LENGTH, (size,), generator=generator)
        return self.rows(self.training[starts[:, None] + torch.arange(LENGTH)])

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Held-out loss, and how the model goes on after the beginning of the held-out part."""
        sample = self.beginning + self.write([self.beginning], ANSWER_TOKENS)[0]
        return Evaluation(self.held_out(self.test_batches), {}, (sample,))

    def sizes(self) -> dict[str, int]:
        return {"base parameters": parameters_of(self.module), "training tokens": len(self.training)}


def language_task(seed: int, text: str, model: str) -> LanguageTask:
    """The JSON demonstration, or the visitor's own text if there is one."""
    return OwnText(seed, model, text) if text else JsonFacts(seed, model)
