"""Makes the bundled tickets from phrase banks with a seed: `python -m stateset.rl.data.tickets.generate`.

`messages.yaml`, `people.yaml`, `policies.yaml` and `replies.yaml` are written by hand; the first three have a
part for each split, so that no phrasing, product, name or policy of the test rows occurs in training.
`situations.yaml` says what is right in each situation and what the shops' agents do there by habit. A test
makes the files again and compares them byte for byte; README.md beside this file is the data card.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
ROWS_PER_TEMPLATE = {"train": 6, "validation": 3, "test": 4}
SEED = 20261122
_OTHER_CLAUSES = 1
_INSTRUCTION = "You are the support agent of {shop}. Follow the policy and reply in one or two sentences."
_SATISFACTION = {"right": 3.9, "generous": 4.0, "wrong": 2.9}
_REOPENED = {"right": 0.12, "generous": 0.15, "wrong": 0.35}
_RESOLVED = {"right": 0.9, "generous": 0.85, "wrong": 0.65}
_GENEROUS = ("refund", "replacement", "cancel")  # what pleases the customer, right or not

Bank = Mapping[str, Any]


def make_rows(split: str, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """The rows of `train`, `validation` or `test`, in file order."""
    bank = {name: _read(name) for name in ("messages", "people", "policies", "replies", "situations")}
    rng = random.Random(f"{seed} {split}")
    made = 0
    for situation, rules in bank["situations"].items():
        templates = bank["messages"][situation][split]
        habits = _deal(rules["habits"], len(templates) * ROWS_PER_TEMPLATE[split], rng)
        shops = _shops(bank["policies"][split], situation, rules["right"], rng)
        for number, template in enumerate(templates, start=1):
            for _ in range(ROWS_PER_TEMPLATE[split]):
                made += 1
                row = {"id": f"{split}-{made:04d}", "template": f"{split}-{situation}-{number:02d}"}
                yield row | _row(bank, split, situation, template, next(shops), habits.pop(), rng)


def write_files(folder: Path) -> None:
    """Write `<split>.jsonl` for every split."""
    for split in ROWS_PER_TEMPLATE:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in make_rows(split))
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def _deal(shares: Mapping[str, float], number: int, rng: random.Random) -> list[str]:
    """`number` habits in random order, in these shares up to rounding; the last one takes the rest."""
    counts = {name: round(share * number) for name, share in shares.items()}
    counts[list(shares)[-1]] += number - sum(counts.values())
    dealt = [name for name, count in counts.items() for _ in range(count)]
    rng.shuffle(dealt)
    return dealt


def _shops(shops: Sequence[Bank], situation: str, right: str, rng: random.Random) -> Iterator[Bank]:
    """A shop for each row. Where its policy decides, all resolutions come equally often, in turn."""
    if right == "by policy":
        ways = [[shop for shop in shops if shop[situation] == way] for way in ("refund", "replacement")]
    else:
        ways = [list(shops)]
    while True:
        yield from (rng.choice(way) for way in ways)


def _read(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def _row(
    bank: Bank, split: str, situation: str, template: Bank, shop: Bank, habit: str, rng: random.Random
) -> dict[str, Any]:
    """One ticket: who wrote, what happened, what is right, and what an agent answered."""
    rules = bank["situations"][situation]
    facts = _facts(bank["people"], split, situation, shop, rng)
    right = shop[situation] if rules["right"] == "by policy" else rules["right"]
    kind = template.get("kind")
    clauses = _clauses(shop, rules["clause"] if kind is None else rules["clause"][kind], facts, rng)
    status = _status(situation, template["difficulty"], facts, rng)
    policy = "\n".join(f"- {clause}" for clause in clauses)
    system = f"{_INSTRUCTION.format(**facts)}\nPolicy:\n{policy}\n{status}"
    message = f"{template['text'].format(**facts)}\n{facts['name']}"
    wrong_ones = [name for name in ("refund", "replacement") if name not in (right, *rules["allowed"])]
    done = _done(habit, right)
    return {
        "situation": situation,
        "difficulty": template["difficulty"],
        "prompt": [{"role": "system", "content": system}, {"role": "user", "content": message}],
        "answer": _gold_reply(bank["replies"], situation, right, kind, facts, rng),
        "reply": _logged_reply(bank["replies"], situation, kind, done, habit, facts, rng),
        **_outcome(habit, done, rng),
        "resolution": right,
        "allowed": rules["allowed"],
        "must_not_promise": [*wrong_ones, *rules["forbidden"]],
        "question_kind": kind,
        "facts": facts,
    }


def _facts(people: Bank, split: str, situation: str, shop: Bank, rng: random.Random) -> dict[str, Any]:
    order, other = rng.sample(range(10_000, 100_000), 2)
    window, warranty = shop["window"], shop["warranty"]
    inside, after = rng.randint(2, window - 2), window + rng.randint(3, 40)
    return {
        "shop": shop["shop"],
        "name": rng.choice(people["names"][split]),
        "item": "gift card" if situation == "gift_card" else rng.choice(people["items"][split]),
        "order": str(order),
        "other_order": str(other),
        "amount": f"${rng.randint(8, 180)}.{rng.choice(['00', '50', '90', '95'])}",
        "days": {"return_in": inside, "return_out": after}.get(situation, rng.randint(2, 9)),
        "months": rng.randint(3, warranty - 2),
        "window": window,
        "warranty": warranty,
        "delivery": shop["delivery"],
        "validity": shop["validity"],
    }


def _clauses(shop: Bank, relevant: str, facts: Bank, rng: random.Random) -> list[str]:
    """The clause that decides and another one, in random order, as a help desk's search would find them."""
    others = rng.sample([name for name in shop["clauses"] if name != relevant], _OTHER_CLAUSES)
    chosen = [relevant, *others]
    rng.shuffle(chosen)
    return [shop["clauses"][name].format(**facts) for name in chosen]


def _status(situation: str, difficulty: str, facts: Bank, rng: random.Random) -> str:
    """The line of the order system. Hard tickets leave the comparison of days to the reader."""
    if situation == "question":
        return "No open order."
    text = {
        "late": f"shipped {facts['delivery'] + facts['days']} days ago, still on its way, past its due day",
        "lost": "declared lost by the carrier",
        "charged_twice": "charged twice",
        "cancel_before": "not shipped yet",
        "cancel_after": "already shipped",
        "warranty": f"bought {facts['months']} months ago",
        "gift_card": "code rejected at checkout",
    }.get(situation, f"delivered {facts['days']} days ago")
    hint = {"return_in": ", inside the return window", "return_out": ", after the return window"}
    text += hint.get(situation, "") if difficulty != "hard" else ""
    return f"Order {facts['order']}: {facts['item']}, {facts['amount']}, {text}."


def _done(habit: str, right: str) -> str:
    """What the agent did: a resolution, or `wrong_number`."""
    name = habit.partition("+")[0]
    if name == "other":
        return {"refund": "replacement", "replacement": "refund"}[right]
    return right if name == "right" else name


def _logged_reply(
    replies: Bank, situation: str, kind: str | None, done: str, habit: str, facts: Bank, rng: random.Random
) -> str:
    """What an agent wrote who did this, with the forbidden promise that the habit names behind a plus."""
    promise = habit.partition("+")[2]
    number_facts = dict(facts)
    if done == "wrong_number":
        number_facts |= {key: facts[key] + 2 for key in ("window", "warranty", "delivery", "validity")}
    action = rng.choice(_actions(replies, done, situation, kind))
    parts = [rng.choice(replies["openings"][situation])] if rng.random() < 0.4 else []
    parts.append(action)
    if promise:
        parts.append(rng.choice(replies["promises"][promise]))
    elif rng.random() < 0.2:
        parts.append(rng.choice(replies["closings"]))
    reply = " ".join(parts).format(**number_facts)
    return _sloppy(reply, rng)


def _actions(replies: Bank, done: str, situation: str, kind: str | None) -> Sequence[str]:
    if done in ("answer", "wrong_number"):
        return list(replies["answers"][kind])
    return list(replies["special"].get(f"{done}/{situation}") or replies["actions"][done])


def _sloppy(reply: str, rng: random.Random) -> str:
    """One reply in ten is typed in a hurry."""
    return reply[0].lower() + reply[1:].rstrip(".") if rng.random() < 0.1 else reply


def _gold_reply(
    replies: Bank, situation: str, right: str, kind: str | None, facts: Bank, rng: random.Random
) -> str:
    if kind is not None:
        actions = replies["gold_answers"][kind]
    else:
        actions = replies["gold_actions"].get(f"{right}/{situation}") or replies["gold_actions"][right]
    parts = [rng.choice(replies["gold_openings"][situation]), rng.choice(actions)]
    return str(" ".join(parts).format(**facts))


def _outcome(habit: str, done: str, rng: random.Random) -> dict[str, Any]:
    """What the export says of the ticket; it follows the reply's quality only loosely."""
    kind = "right" if habit == "right" else "generous" if done in _GENEROUS else "wrong"
    satisfaction = round(rng.gauss(_SATISFACTION[kind], 0.9))
    return {
        "resolved": rng.random() < _RESOLVED[kind],
        "satisfaction": min(5, max(1, satisfaction)),
        "reopened": rng.random() < _REOPENED[kind],
    }


if __name__ == "__main__":
    write_files(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
