"""The same prompts for every tool: a shop's policy filled up to a wanted number of tokens, and one ticket."""

from __future__ import annotations

from typing import Any

RULES = (
    "A damaged or faulty item is replaced or refunded within 45 days, whichever the customer prefers.",
    "An unwanted item may come back within 20 days if it was not used; the customer pays for the parcel.",
    "A parcel without news for six working days is searched for, then sent again.",
    "An order can be cancelled until the warehouse has packed it.",
    "A double charge is returned on the day it is reported.",
    "Gift cards are neither refunded nor exchanged.",
    "A mention of a lawyer, an injury or a fire goes to a human at once.",
    "The guarantee covers two years and asks for a photo of the fault.",
    "No date is promised that the carrier has not confirmed.",
    "Never ask for passwords or whole card numbers.",
    "Begin with one sentence that shows the problem was understood, then say what happens next.",
)
TICKETS = (
    "The blender from order 48213 came with a broken jug. I would like my money back, please.",
    "Order 77120 has been in the same depot for nine days. Has it been lost?",
    "You charged me twice for order 30954! Please put that right today.",
    "I ordered the wrong size (order 61547) an hour ago, can you still stop it?",
)

# the same optimizer and clipping, in each tool's words
SETTINGS: dict[str, dict[str, Any]] = {
    "ours": {
        "learning_rate": 1e-6, "betas": (0.9, 0.999), "weight_decay": 0.0, "max_grad_norm": 1.0,
        "warmup_steps": 0, "schedule": "constant",
    },
    "trl": {
        "learning_rate": 1e-6, "adam_beta1": 0.9, "adam_beta2": 0.999, "weight_decay": 0.0,
        "max_grad_norm": 1.0, "warmup_steps": 0, "lr_scheduler_type": "constant",
    },
}  # fmt: skip


def prompts(tokenizer: Any, num_tokens: int, count: int) -> list[list[dict[str, str]]]:
    """`count` chats whose templated length is at most a word's tokens below `num_tokens`."""

    def chat(words: int, ticket: str) -> list[dict[str, str]]:
        supply = (" ".join(RULES) + " ") * (num_tokens // 100 + 2)
        return [
            {"role": "system", "content": " ".join(supply.split()[:words])},
            {"role": "user", "content": ticket},
        ]

    def length(words: int, ticket: str) -> int:
        chosen = chat(words, ticket)
        rendered = tokenizer.apply_chat_template(chosen, add_generation_prompt=True, return_dict=True)
        return len(rendered["input_ids"])

    found = []
    for index in range(count):
        ticket = f"{TICKETS[index % len(TICKETS)]} (message {index})"
        words = next(w for w in range(num_tokens, 0, -1) if length(w, ticket) <= num_tokens)
        found.append(chat(words, ticket))
    return found


def reward(text: str) -> float:
    """Differs between almost any two texts, so that no group is without signal."""
    return text.lower().count("e") / 100 + text.count(" ") / 1000 + ("refund" in text)
