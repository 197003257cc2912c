"""The bundled tickets: made by a seed, split by template, and judged by facts."""

import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from statistics import correlation, mean

import pytest
from datasketch import MinHash, MinHashLSH

from stateset.rl import filter_by_difficulty, load_customer_service_data, prepare_training_data
from stateset.rl.data.bundled import SPLITS
from stateset.rl.data.load import load_tasks
from stateset.rl.data.quality import quality_score
from stateset.rl.data.tickets.generate import FOLDER, write_files
from stateset.rl.errors import DataError, RewardError
from stateset.rl.verifiers.tickets import check_ticket, verify_ticket

ROWS = {split: load_customer_service_data(split) for split in SPLITS}
ALL = [row for rows in ROWS.values() for row in rows]
HABITS = {"lost", "return_out", "cancel_after", "warranty", "injury"}


def test_the_script_makes_the_files_again_byte_for_byte(tmp_path):
    write_files(tmp_path)
    for split in SPLITS:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == (FOLDER / f"{split}.jsonl").read_bytes()


def test_sizes():
    assert len(ALL) >= 1200
    assert len(ROWS["test"]) >= 300
    assert len({row["template"] for row in ROWS["test"]}) >= 60
    assert len({row["situation"] for row in ALL}) == 13
    assert len({row["id"] for row in ALL}) == len(ALL)
    for split in SPLITS:
        assert {row["difficulty"] for row in ROWS[split]} == {"easy", "medium", "hard"}
        assert len(load_tasks(ROWS[split])) == len(ROWS[split])


def test_splits_share_no_template_product_name_shop_or_clause():
    def seen(split):
        rows = ROWS[split]
        clauses = {
            line for row in rows for line in row["prompt"][0]["content"].splitlines() if line[:2] == "- "
        }
        return {
            "template": {row["template"] for row in rows},
            "clause": {re.sub(r"\d+", "N", clause) for clause in clauses},
            **{
                name: {row["facts"][name] for row in rows} - {"gift card"}
                for name in ("shop", "item", "name")
            },
        }

    for first, second in combinations(SPLITS, 2):
        for kind, values in seen(first).items():
            assert not values & seen(second)[kind], kind


def _signature(text, size):
    words = re.findall(r"[a-z0-9']+", text.lower())
    signature = MinHash(num_perm=128, seed=1)
    for start in range(len(words) - size + 1):
        signature.update(" ".join(words[start : start + size]).encode())
    return signature


@pytest.mark.parametrize(("part", "size", "threshold"), [("message", 2, 0.4), ("prompt", 3, 0.6)])
def test_no_near_duplicates_across_splits(part, size, threshold):
    """Customers' messages, and whole prompts (which share the one instruction sentence)."""

    def text(row):
        system, user = (message["content"] for message in row["prompt"])
        return user if part == "message" else f"{system} {user}"

    index = MinHashLSH(threshold=threshold, num_perm=128)
    for split in SPLITS:
        for row in ROWS[split]:
            assert not index.query(_signature(text(row), size)), text(row)
        for row in ROWS[split]:
            index.insert(row["id"], _signature(text(row), size))
    assert index.query(_signature(text(ROWS["train"][0]), size)), "the index finds what is there"


def test_every_gold_answer_passes():
    assert [row["answer"] for row in ALL if not verify_ticket("", row["answer"], row)] == []


def test_a_gold_answer_of_another_resolution_fails():
    """Each row with the gold answer of every other situation, its facts put in place of the other's."""
    for row in ROWS["validation"]:
        for other in ROWS["validation"]:
            if other["resolution"] in (row["resolution"], *row["allowed"]) or row["question_kind"]:
                continue
            answer = other["answer"].replace(other["facts"]["order"], row["facts"]["order"])
            assert not verify_ticket("", answer, row), (row["resolution"], answer)


def _row(**wanted):
    return next(row for row in ROWS["train"] if all(row[name] == value for name, value in wanted.items()))


@pytest.mark.parametrize(
    ("situation", "answer", "why"),
    [
        ("return_out", "You can have store credit or a refund, {name}.", "two resolutions"),
        ("return_out", "I have refunded {amount} for order {order} to your card.", "the habit"),
        ("return_out", "We cannot give you store credit for order {order}.", "the right word in a denial"),
        ("return_out", "You asked for store credit on order {order}.", "only the wish is named"),
        ("return_out", "Please contact our support team for store credit.", "sent elsewhere"),
        ("return_out", "Would you like store credit for order {order}?", "a question settles nothing"),
        ("return_out", "I have added store credit for order {other_order}.", "another order"),
        ("return_out", "I have added store credit and a $10 voucher.", "a promise that the policy forbids"),
        ("return_out", "store credit", "a bare keyword"),
        ("return_out", "I added store credit. I added store credit. I added store credit.", "a loop"),
        ("late", "I have opened a trace. It will be with you by Friday.", "a delivery date"),
        ("late", "I opened a trace and refunded order {order}.", "more than the policy gives"),
        ("injury", "Our safety team takes over. This was our fault.", "an admission"),
        ("injury", "Our safety team takes over and a new {item} is on its way.", "and a replacement"),
        ("warranty", "We will repair it or send you a new {item}.", "hedging"),
        ("cancel_after", "I have cancelled order {order} for you.", "the habit"),
        ("lost", "I have asked the carrier to trace order {order}.", "the habit"),
        ("return_out", "You want a refund, so you get both: {amount} store credit is added.", "both"),
        ("return_out", "I have added store credit for order {order} to", "broken off"),
        ("return_out", "I have added store credit for order {order} and the", "broken off"),
        ("return_out", "I have added $5.00 store credit for order {order}.", "another amount"),
        ("warranty", "We will repair it. It is not a problem to replace it too.", "no denial"),
        ("warranty", "We will repair it or a fresh unit ships today.", "hedging"),
        ("warranty", "The workshop is closed.", "a word, no act"),
        ("late", "I have opened a trace for order {order}. It arrives on 5 May.", "a delivery date"),
        ("charged_twice", "I have refunded {amount} twice for order {order}.", "twice the amount"),
        ("injury", "Our safety team takes over. We will cover the doctor's bills.", "compensation"),
        ("injury", "Our manager sends greetings.", "a word, no act"),
        ("injury", "Hello colleague, have a nice day", "a word, no act"),
        ("gift_card", "A replacement gift card was handed to our warehouse.", "an item, no code"),
        ("cancel_before", "It will be cancelled as you wish and a new {item} goes out today.", "two things"),
    ],
)  # fmt: skip
def test_planted_wrong_answers_fail(situation, answer, why):
    row = _row(situation=situation)
    assert not verify_ticket("", answer.format(**row["facts"]), row), why


@pytest.mark.parametrize(
    "sentence",
    [
        "You asked for a refund and it is on its way.",
        "You want a refund. It has been granted.",
        "It is not a problem to refund {amount} as well.",
        "Without question we refund {amount} as well.",
        "Your refund request was approved and {amount} was paid.",
        "The full price has been wired to you.",
        "PayPal will get {amount} too.",
        "I see you want a refund, so you get both.",
        "Your refund request was approved.",
    ],
)
def test_a_refund_by_any_other_name_is_one(sentence):
    row = _row(situation="return_out")
    credit = "I have added store credit for order {order}."
    assert verify_ticket("", credit.format(**row["facts"]), row)
    assert not verify_ticket("", f"{credit} {sentence}".format(**row["facts"]), row)


@pytest.mark.parametrize(
    ("situation", "answer"),
    [
        ("return_out", "A refund is no longer possible, but {amount} of store credit is in your account."),
        ("return_out", "Instead of a refund you get store credit for order {order}."),
        ("return_out", "I understand you want a refund. I can offer store credit, not money."),
        ("late", "We can't refund it yet, so I started a trace with the carrier for order {order}."),
        ("cancel_after", "It has shipped, so I cannot cancel it. Here is a prepaid return label."),
        ("warranty", "No replacement or refund here, but our workshop will repair your {item}."),
        ("injury", "I am so sorry. Our safety team will call you about order {order}."),
        ("return_out", "We'll credit {amount} to your store account."),
        ("return_out", "We'll give you {amount} of store credit for order {order}."),
        ("return_out", "put {amount} store credit on ur account for order {order}, enjoy"),
        ("charged_twice", "I've reversed the duplicate charge of {amount}."),
        (
            "cancel_after",
            "Order {order} can't be cancelled any more. Please refuse the parcel or use the return label "
            "I've sent.",
        ),
        ("cancel_after", "You want to cancel, and it is already on its way. Here is a prepaid return label."),
        ("late", "You asked for a refund, but it is still on its way, so I opened a trace."),
        ("injury", "Our safety team will investigate and contact you about order {order}."),
    ],
)
def test_plain_right_answers_pass(situation, answer):
    row = _row(situation=situation)
    check = check_ticket(answer.format(**row["facts"]), row)
    assert check.passed, check


def test_a_denial_ends_at_a_but():
    row = _row(situation="damaged", resolution="replacement")
    assert verify_ticket(
        "", f"I can't offer a refund, but a replacement {row['facts']['item']} ships today.", row
    )


def test_a_denied_guarantee_is_no_delivery_date():
    row = _row(situation="question", question_kind="warranty_length")
    months = row["facts"]["warranty"]
    assert verify_ticket("", f"The warranty is {months} months, with no guarantee of a refund.", row)
    assert not verify_ticket("", f"The warranty is {months} months. Delivery is guaranteed.", row)


def test_a_question_needs_its_own_figure():
    row = _row(situation="question", question_kind="return_window")
    window = row["facts"]["window"]
    assert verify_ticket("", f"You have {window} days to return it.", row)
    assert not verify_ticket("", f"You have {window + 1} days to return it.", row)
    assert not verify_ticket("", f"You have {window} days, or 90 days for members.", row)
    assert not verify_ticket("", f"You have {window} days. I have sent you a refund.", row)


def test_a_row_of_another_kind_is_refused():
    with pytest.raises(RewardError, match="'resolution'"):
        verify_ticket("", "hello", {"facts": {}})


def test_the_logs_are_wrong_by_habit():
    """The shares of the data card, read by the verifier and not by what the script meant."""
    right = defaultdict(list)
    for row in ROWS["train"]:
        right[row["situation"]].append(verify_ticket("", row["reply"], row))
    assert 0.60 <= mean(value for values in right.values() for value in values) <= 0.70
    for situation, values in right.items():
        assert mean(values) < 0.4 if situation in HABITS else mean(values) > 0.7, situation


def test_satisfaction_follows_quality_only_loosely():
    right = [float(verify_ticket("", row["reply"], row)) for row in ROWS["train"]]
    stars = [float(row["satisfaction"]) for row in ROWS["train"]]
    assert 0.0 < correlation(right, stars) < 0.4


def test_prepared_rows_went_well_and_say_how_well():
    kept = prepare_training_data(source="support_tickets", min_quality_score=0.8)
    assert 300 < len(kept) < len(ROWS["train"])
    assert min(row["quality_score"] for row in kept) >= 0.8
    assert len(prepare_training_data("support_tickets")) == len(ROWS["train"])
    easy = filter_by_difficulty(kept, "easy")
    assert {row["difficulty"] for row in easy} == {"easy"}


@pytest.mark.parametrize(
    ("row", "score"),
    [
        ({"resolved": True, "satisfaction": 5, "reopened": False}, 1.0),
        ({"resolved": False, "satisfaction": 1, "reopened": True}, 0.0),
        ({"resolved": True, "satisfaction": 3, "reopened": True}, 0.4 + 0.2),  # 0.4 x 1 + 0.4 x 0.5 + 0
        ({"satisfaction": "4"}, 0.75),
        ({"resolved": "yes", "context": {"reopened": "no"}}, 1.0),
        ({"prompt": "hello"}, None),
        ({"satisfaction": "", "resolved": True, "reopened": float("nan")}, 1.0),
    ],
)
def test_quality_worked_out_by_hand(row, score):
    assert quality_score(row) == (score if score is None else pytest.approx(score))


@pytest.mark.parametrize(
    ("rows", "least", "message"),
    [
        ([{"prompt": "a"}], 0.8, "1 of 1 rows have no quality"),
        ([{"prompt": "a", "satisfaction": 9}], 0.8, "`satisfaction` is 9"),
        ([{"prompt": "a", "resolved": "maybe"}], 0.8, "`resolved` is a text of 5 characters"),
        ([{"prompt": "a", "satisfaction": 2}], 0.8, "no row reaches"),
        ([{"prompt": "a", "satisfaction": 2}], 1.5, "from 0 to 1"),
        ([{"satisfaction": 2}], 0.5, "no `prompt`"),
    ],
)
def test_rows_without_quality_are_refused(rows, least, message):
    with pytest.raises(DataError, match=message):
        prepare_training_data(rows, min_quality_score=least)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="train, validation, test"):
        load_customer_service_data("dev")
    with pytest.raises(DataError, match="train, validation, test"):
        load_tasks("support_tickets/dev")


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(load_tasks("support_tickets/test")) == len(ROWS["test"])
    assert len(load_tasks(Path("support_tickets"))) == len(ROWS["train"])
    (tmp_path / "support_tickets").mkdir()
    assert len(load_tasks("support_tickets")) == len(ROWS["train"])
    (tmp_path / "support_tickets").rmdir()
    (tmp_path / "support_tickets").write_text("{}")
    with pytest.raises(DataError, match="unknown format"):
        load_tasks("support_tickets")


def test_where_the_policy_decides_a_fixed_answer_is_right_in_half_of_the_rows():
    for rows in ROWS.values():
        found = defaultdict(list)
        for row in rows:
            found[row["situation"]].append(row["resolution"])
        for situation in ("damaged", "wrong_item", "lost"):
            assert mean(way == "refund" for way in found[situation]) == 0.5
    fixed = sum(max(map(ways.count, ways)) for name, ways in found.items() if name != "question")  # of test
    assert f"{fixed} of the" in (FOLDER / "README.md").read_text()


def test_the_data_card_states_the_shares_as_they_are():
    card = (FOLDER / "README.md").read_text()
    right = defaultdict(list)
    for row in ROWS["train"]:
        right[row["situation"]].append(verify_ticket("", row["reply"], row))
    for situation, values in right.items():
        assert re.search(rf"^\| {situation} \| [^|]+ \| {100 * mean(values):.0f} % \|", card, re.M), situation
    shares = [value for values in right.values() for value in values]
    kept = prepare_training_data("support_tickets", min_quality_score=0.8)
    good = mean(verify_ticket("", row["reply"], row) for row in kept)
    assert f"together: {100 * mean(shares):.0f} %" in card
    assert f"{len(kept)} rows that `min_quality_score=0.8` keeps, {100 * good:.0f} %" in card
