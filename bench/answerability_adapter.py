"""Teaches the packaged chat model to tell whether passages state the answer, and writes the adapter that Causeway brings.

    pip install torch==2.13.0 transformers==5.24.0 accelerate gguf   # beside Causeway, in an environment of its own
    python -m bench.answerability_adapter [--epochs 2] ADAPTER.gguf

LoRA (Hu et al. 2021, arXiv:2106.09685) on the upper layers of the weights that are in the catalogue, dequantised; learned
from ``bench/answerability_training.jsonl``: passages of invented organisations, and for each what they answer
and what they only seem to. The questions of one group are read in one go: each sees the passages and itself (a mask), so that
these are read once; what the lower layers make of them never changes, so it is kept.

What a question alone gives away is not to be learned. Each one weighs the less the better a regression on
its words alone guesses its answer, and answerable questions are asked of another organisation's passages, too, where the answer is no.
A tenth of the groups is left out and only measured. How much it is worth in answers is `bench.answerability`'s and `bench.answers`'s.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found]  # of the environment above
import numpy as np
import torch  # type: ignore[import-not-found]  # likewise
import transformers  # type: ignore[import-not-found]  # likewise

from bench.answerability import area
from causeway.models.catalog import Catalog
from causeway.models.model_folder import model_folder
from causeway.prompts.shelf import Shelf
from causeway.settings import load

MODEL = "qwen2.5-coder-1.5b-instruct"
TRAINING = Path(__file__).with_name("answerability_training.jsonl")
FIRST_LAYER = 16
"""Of 28. What tells answerable from unanswerable is in the states from here on (a linear probe finds it best at 18)."""
RANK, ALPHA = 8, 16
GROUPS_A_STEP = 4
LEARNING_RATE = 5e-4
_TENSORS = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Passages, and what is asked of them: question, whether they state the answer, what it weighs."""

    passages: tuple[dict[str, str], ...]
    asked: tuple[tuple[str, bool, float], ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("adapter", type=Path, help="the file to write")
    parser.add_argument("--epochs", type=float, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    random_ = random.Random(1)
    lines = [json.loads(line) for line in TRAINING.read_text(encoding="utf-8").splitlines()]
    groups = examples(lines, random_)
    model = Model()
    read = [model.read(group) for group in groups]
    left_out, learned = read[::10], [one for number, one in enumerate(read) if number % 10]
    model.adapt()
    print(f"{len(learned)} groups, {len(left_out)} left out, {model.size():,} numbers", flush=True)
    train(model, learned, left_out, epochs=options.epochs, random_=random_)
    model.write(options.adapter)


# --- what is learned from --------------------------------------------------------------------------------------


def examples(lines: Sequence[dict[str, Any]], random_: random.Random) -> list[Group]:
    """Groups with what is asked of them, in other orders and spellings, and with questions that belong elsewhere."""
    guessed = guesses(lines)
    bags = [words(" ".join(one["heading"] + " " + one["text"] for one in line["passages"])) for line in lines]
    common = Counter(word for bag in bags for word in bag)
    taken: set[str] = set()
    groups = []
    for line, bag in zip(lines, bags, strict=True):
        strangers = elsewhere(line, lines, bag, common, taken)
        taken.update(strangers)
        asked = [(one, True, 0.5 / guessed[one]) for one in line["yes"]]
        asked += [(one, False, 0.5 / (1 - guessed[one])) for one in line["no"]]
        asked += [(one, False, 0.35 / (1 - guessed[one])) for one in strangers]
        asked = [
            (spelt(question, random_), answer, min(max(weight, 0.4), 2.5))
            for question, answer, weight in asked
        ]
        random_.shuffle(asked)
        groups.append(Group(beside(line, lines, random_), tuple(asked)))
    return groups


def elsewhere(
    line: dict[str, Any],
    lines: Sequence[dict[str, Any]],
    bag: set[str],
    common: Counter[str],
    taken: set[str],
) -> list[str]:
    """Two answerable questions of other organisations of the same kind that share most words with these passages."""
    own = organisations(line)
    found = [
        (sum(1 / common[word] for word in words(question) & bag), question)
        for other in lines
        if other["kind"] == line["kind"] and not own & organisations(other)
        for question in other["yes"]
        if question not in taken
    ]
    return [question for _, question in sorted(found, reverse=True)[:2]]


def organisations(line: dict[str, Any]) -> set[str]:
    """What the passages' headings begin with."""
    return {one["heading"].split(" > ")[0].strip().lower() for one in line["passages"]}


def beside(
    line: dict[str, Any], lines: Sequence[dict[str, Any]], random_: random.Random
) -> tuple[dict[str, str], ...]:
    """The passages, sometimes with one that does not belong to them, sometimes in another order."""
    passages = list(line["passages"])
    chance = random_.random()
    if chance < 0.35 and len(passages) < 3:
        other = random_.choice([one for one in lines if one["kind"] == line["kind"] and one is not line])
        passages.insert(random_.randrange(len(passages) + 1), random_.choice(other["passages"]))
    elif chance < 0.7:
        random_.shuffle(passages)
    return tuple(passages)


def spelt(question: str, random_: random.Random) -> str:
    """As people type: a small letter first, no question mark, two letters swapped; each now and then."""
    if random_.random() < 0.2:
        question = question[0].lower() + question[1:]
    if random_.random() < 0.2:
        question = question.rstrip("?")
    if random_.random() < 0.12:
        at = random_.randrange(max(1, len(question) - 2))
        question = question[:at] + question[at + 1] + question[at] + question[at + 2 :]
    return question


def words(text: str) -> set[str]:
    """Of three letters or more."""
    return set(re.findall(r"[a-z]{3,}", text.lower()))


def guesses(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How likely each question is answerable by its own words alone: a logistic regression that has not seen its group."""

    def bag(question: str) -> set[str]:
        return set(re.findall(r"[a-z']+|\?|,", question.lower()))

    asked = [
        (number, question, answer)
        for number, line in enumerate(lines)
        for answer, key in ((1.0, "yes"), (0.0, "no"))
        for question in line[key]
    ]
    counts = Counter(word for _, question, _ in asked for word in bag(question))
    columns = {word: at for at, word in enumerate(word for word, count in counts.items() if count >= 8)}
    seen = np.zeros((len(asked), len(columns) + 1), np.float32)
    seen[:, -1] = 1
    for row, (_, question, _) in enumerate(asked):
        seen[row, [columns[word] for word in bag(question) if word in columns]] = 1
    truth = np.array([answer for *_, answer in asked], np.float32)
    part = np.array([number for number, *_ in asked]) % 5
    likely = np.zeros(len(asked))
    for fold in range(5):
        known = part != fold
        found = np.zeros(seen.shape[1])
        for _ in range(300):
            wrong = 1 / (1 + np.exp(-seen[known] @ found)) - truth[known]
            found -= 2 * (seen[known].T @ wrong / known.sum() + 0.003 * found)
        likely[~known] = 1 / (1 + np.exp(-seen[~known] @ found))
    print(
        f"answers guessed from questions alone: area under the curve {area(likely, truth.astype(bool)):.2f}"
    )
    return {question: float(one) for (_, question, _), one in zip(asked, likely, strict=True)}


# --- the model -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """A group as the lower layers leave it: states, positions, who sees whom, where each question ends, answers, weights."""

    states: Any
    positions: Any
    mask: Any
    ends: Any
    answers: Any
    weights: Any


class Lora(torch.nn.Module):  # type: ignore[misc]  # torch is not of this environment
    """A frozen linear layer and a learned product of two thin matrices beside it."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        outputs, inputs = base.weight.shape
        self.a = torch.nn.Parameter(torch.randn(RANK, inputs) / math.sqrt(inputs))
        self.b = torch.nn.Parameter(torch.zeros(outputs, RANK))
        self.dropout = torch.nn.Dropout(0.05)

    def forward(self, x: Any) -> Any:
        """Both, added up."""
        thin = self.dropout(x) @ self.a.to(x.dtype).T
        return self.base(x) + thin @ self.b.to(x.dtype).T * (ALPHA / RANK)


class Model:
    """The packaged chat model, cut at `FIRST_LAYER`."""

    def __init__(self) -> None:
        card = Catalog.load().get(MODEL)
        folder = model_folder(card, load().storage.models_dir)
        name = {"gguf_file": card.weights.name}
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **name)
        whole = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            quantization_config=transformers.GgufConfig(dequantize=True),
            **name,
        ).eval()
        whole.requires_grad_(False)
        self._model = whole.model
        words_ = [self._tokens(word)[0] for word in ("yes", "no")]
        self._rows = whole.lm_head.weight[words_].float()
        self._prompt = Shelf.packaged().get("answerable")
        self._adapted: dict[str, Lora] = {}

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return found

    def read(self, group: Group) -> Read:
        """One pass through the lower layers, for all questions of a group."""
        values = {"question": "\0", "passages": [dict(one) for one in group.passages]}
        system, user = (message.text for message in self._prompt.messages(values))
        before, after = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}".split("\0")
        head, _, ask = before.rpartition("Question: ")
        tokens = self._tokens(head)
        positions, part, ends = list(range(len(tokens))), [0] * len(tokens), []
        shared = len(tokens)
        for number, (question, _, _) in enumerate(group.asked, 1):
            own = self._tokens(f"Question: {ask}{question}{after}<|im_end|>\n<|im_start|>assistant\n")
            tokens += own
            positions += range(shared, shared + len(own))
            part += [number] * len(own)
            ends.append(len(tokens) - 1)
        parts, order = torch.tensor(part), torch.arange(len(tokens))
        sees = (order[:, None] >= order[None]) & ((parts[None] == 0) | (parts[None] == parts[:, None]))
        mask = torch.zeros(sees.shape, dtype=torch.bfloat16).masked_fill(~sees, -math.inf)[None, None]
        placed = torch.tensor([positions])
        with torch.no_grad():
            states = self._through(
                self._model.embed_tokens(torch.tensor([tokens])), placed, mask, slice(0, FIRST_LAYER)
            )
        answers = torch.tensor([float(answer) for _, answer, _ in group.asked])
        weights = torch.tensor([weight * (1.35 if answer else 0.85) for _, answer, weight in group.asked])
        return Read(states.clone(), placed, mask, torch.tensor(ends), answers, weights)

    def _through(self, states: Any, positions: Any, mask: Any, layers: slice) -> Any:
        turned = self._model.rotary_emb(states, positions)
        for layer in self._model.layers[layers]:
            given = layer(states, attention_mask=mask, position_ids=positions, position_embeddings=turned)
            states = given[0] if isinstance(given, tuple) else given
        return states

    def log_odds(self, read: Read) -> Any:
        """Of yes, for each question."""
        states = self._through(read.states, read.positions, read.mask, slice(FIRST_LAYER, None))
        logits = self._model.norm(states[0, read.ends]).float() @ self._rows.T
        return logits[:, 0] - logits[:, 1]

    def adapt(self) -> None:
        """Put what is to be learned beside every linear layer of the upper layers."""
        for number, layer in enumerate(self._model.layers):
            if number < FIRST_LAYER:
                continue
            for part in (layer.self_attn, layer.mlp):
                for name in _TENSORS.keys() & dict(part.named_children()).keys():
                    adapted = Lora(getattr(part, name))
                    setattr(part, name, adapted)
                    self._adapted[f"blk.{number}.{_TENSORS[name]}.weight"] = adapted

    def parameters(self) -> list[Any]:
        """What is learned."""
        return [part for one in self._adapted.values() for part in (one.a, one.b)]

    def size(self) -> int:
        """How many numbers are learned."""
        return sum(part.numel() for part in self.parameters())

    def is_learning(self, is_on: bool) -> None:
        """Whether dropout is at work."""
        self._model.train(is_on)

    def write(self, file: Path) -> None:
        """The adapter in GGUF, half precision."""
        writer = gguf.GGUFWriter(file, "qwen2")
        writer.add_string("general.type", "adapter")
        writer.add_string("general.name", "answerability")
        writer.add_string("general.license", "Apache-2.0")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", ALPHA)
        for name, adapted in self._adapted.items():
            for suffix, part in (("lora_a", adapted.a), ("lora_b", adapted.b)):
                writer.add_tensor(f"{name}.{suffix}", part.detach().numpy().astype(np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def train(
    model: Model, learned: Sequence[Read], left_out: Sequence[Read], *, epochs: float, random_: random.Random
) -> None:
    """AdamW with a cosine; prints the loss and, every half epoch, the area under the curve of the groups left out."""
    steps = int(len(learned) * epochs) // GROUPS_A_STEP
    order: list[Read] = []
    while len(order) < steps * GROUPS_A_STEP:
        order += random_.sample(learned, len(learned))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    started = time.perf_counter()
    measure(model, left_out, "before")
    for step in range(steps):
        model.is_learning(True)
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 15) * (0.05 + 0.95 * cosine)
        losses = []
        for read in order[step * GROUPS_A_STEP : (step + 1) * GROUPS_A_STEP]:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model.log_odds(read), read.answers * 0.94 + 0.03, weight=read.weights
            )
            (loss / GROUPS_A_STEP).backward()
            losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 10 == 0:
            took = time.perf_counter() - started
            print(f"step {step + 1} of {steps}, loss {np.mean(losses):.3f}, {took:.0f} s", flush=True)
        if (step + 1) % max(1, len(learned) // GROUPS_A_STEP // 2) == 0 or step + 1 == steps:
            measure(model, left_out, f"step {step + 1}")


def measure(model: Model, reads: Sequence[Read], when: str) -> None:
    """Print how well questions are told apart."""
    model.is_learning(False)
    with torch.no_grad():
        scores = torch.cat([model.log_odds(read) for read in reads])
    truth = torch.cat([read.answers for read in reads])
    print(f"{when}: area under the curve {area(scores.numpy(), truth.numpy().astype(bool)):.3f}", flush=True)


if __name__ == "__main__":
    main()
