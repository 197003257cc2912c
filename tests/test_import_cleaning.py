"""Bodies of mails: what was quoted, signed or sent by a program goes, and no word of the author's with it."""

from __future__ import annotations

import re

import pytest

from stateset.rl.data.importers.clean import clean_body
from stateset.rl.data.importers.notices import is_automatic


@pytest.mark.parametrize(
    ("body", "html", "expected"),
    [
        ("<p>Hi<br>there</p><script>x()</script><style>p{}</style>", True, "Hi\nthere"),
        ("<div>New</div><blockquote type=cite><p>old</p></blockquote>", True, "New"),
        ("Thanks!\n\nOn Mon, Jan 5, 2026 at 9:31 AM Shop <a@b.example> wrote:\n> old", False, "Thanks!"),
        ("Thanks!\n\n-- \nJane Roe\nHead of Lamps", False, "Thanks!"),
        ("A &lt;b&gt; tag", True, "A <b> tag"),
        ("it is 3 < 4 and 5 > 4", False, "it is 3 < 4 and 5 > 4"),
    ],
)
def test_bodies_are_cleaned(body: str, html: bool, expected: str) -> None:
    assert clean_body(body, html=html) == expected


MARK = "This e-mail is confidential and intended only for the addressee. Notify the sender of an error."


@pytest.mark.parametrize(
    "body",
    [
        "I want my parcel sent elsewhere:\nFrom: Berlin\nTo: Paris\nDate: 2026-05-05\nPlease confirm",
        "Hello\nThanks\nOne more thing\nthe second lamp is broken too",
        "Dear Jane,\n\nThank you\n\nYour new login is at the shop page\nUse the code FX12",
        "Please cancel it.\nThanks\nOrder LF-48213",
        "Please cancel it.\nThanks,\nJane Roe\n\nPS: the second lamp too",
        "STOP IT\nTHANKS\nSTILL BROKEN",
        "This message is intended to complain about order 5, which never came.",
        "Disclaimer: I am no expert.\nMy lamp is broken.",
        "What is wrong:\nlamp\n--\nthe chair came without legs\nand the table is scratched",
        "On Monday your driver wrote:\nNobody is at home.\nI was.",
        "On 2026-05-05 at 09:31 your driver wrote:\nNobody is at home.\nI was.",
        "Thanks\nJane Roe\nOrder 48213",
        "It hums.\nSent from my iPhone. I need help\nnow",
        "Sent from my old address last week, and it never came back.",
        "my name is <jane>, and my basket says\nTom and Co",
    ],
)
@pytest.mark.parametrize("html", [None, False])
def test_a_text_that_only_looks_quoted_or_signed_stays_whole(body: str, html: bool | None) -> None:
    taken: set[str] = set()
    assert clean_body(body, html=html, taken=taken) == body
    assert not taken


WROTE = '<div class="gmail_attr">On Mon, Jan 5, 2026 at 9:31 AM Shop &lt;a@b.example&gt; wrote:<br></div>'
OLD_WROTE = "2026-01-05 9:31 GMT+01:00 Shop &lt;a@b.example&gt;:<br>"
FORWARDED = '<div class="gmail_attr">---------- Forwarded message ---------<br>From: Bob<br>To: me</div>'
OLD = '<blockquote class="gmail_quote">OLD<blockquote class="gmail_quote">OLDER</blockquote></blockquote>'


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"<div class=gmail_quote>{WROTE}{OLD}<p>Size 42.</p>{OLD}<p>Blue.</p></div>", "Size 42.\n\nBlue."),
        (f"<p>Size 42.</p><div class=gmail_quote>{WROTE}{OLD}</div>", "Size 42."),
        (f"<div class=gmail_quote>{WROTE}<p>Size 42.</p>{OLD}</div>", "Size 42."),
        (f"<div class=gmail_quote>{OLD}<p>Size 42.</p></div>", "Size 42."),
        (
            f"<div class=gmail_extra><div class=gmail_quote>{OLD_WROTE}{OLD}<p>Size 42.</p></div></div>",
            "Size 42.",
        ),
        (
            f"<p>Size 42.</p><div class=gmail_extra>-- <br><div class=gmail_signature>Jo</div>"
            f"<div class=gmail_quote>{OLD_WROTE}{OLD}</div></div>",
            "Size 42.",
        ),
        ("<p>See below.</p><div class=gmail_quote>On Mon Shop wrote:<br>OLD<br>OLD</div>", "See below."),
        (f"<p>See below.</p><div class=gmail_quote>{FORWARDED}OLD<p>OLD</p>{OLD}OLD</div>", "See below."),
        ("<p>See below.</p><div class=gmail_extra>OLD</div>", "See below."),
    ],
)
def test_answers_between_the_quotes_of_gmail_stay_and_the_quotes_go(body: str, left: str) -> None:
    assert clean_body(body) == left


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ('<td style="font-size:0px"><div style="font-size:14px">It ships.</div></td>', "It ships."),
        ('<div style="font-size:0"><i style="font-size:0">OLD</i></div><p>It ships.</p>', "It ships."),
        ('<div style="font-size:0"><i style="font-size:0.9em">Now.</i></div>', "Now."),
    ],
)  # fmt: skip
def test_text_is_hidden_only_where_nothing_within_has_a_size(body: str, left: str) -> None:
    assert clean_body(body, html=True) == left


@pytest.mark.parametrize("html", [True, False])
def test_half_an_emoji_is_no_part_of_the_text(html: bool) -> None:
    assert clean_body("It hums \ud83d", html=html) == "It hums"
    assert clean_body("\ud83d", html=html) == ""


def test_entities_of_a_text_are_read_and_its_lines_stay() -> None:
    assert clean_body("Tom &amp; Co\nsee ?a=1&copy=2") == "Tom & Co\nsee ?a=1&copy=2"


@pytest.mark.parametrize(
    ("body", "left", "rule"),
    [
        ("Thanks!\n\nFrom: Shop <a@b.example>\nSent: Monday\nTo: Jane\n\nold", "Thanks!", "mail they quote"),
        ("Hi\n______\nFrom: Shop\nSent: Monday\nTo: Jane\nSubject: Lamp\n\nold", "Hi", "mail they quote"),
        ("No.\n\nOn 5 Jan 2026, at 09:31, Jane Roe wrote:\n\nold", "No.", "mail they quote"),
        ("No.\n\nOn Monday Jane wrote:\n> old", "No.", "mail they quote"),
        ("It hums.\n\nKind regards,\nJane Roe\nHead of Lamps\nTel: +1 415 555 0132", "It hums.", "signature"),
        ("It hums.\n--\nThe Lamp Team\n12 Harbour Street, Boston\nlamps.example", "It hums.", "signature"),
        ("It hums.\n-- \njane, who wants a lamp", "It hums.", "signature"),
        ("Sent from my Samsung Galaxy smartphone\nIt hums.", "It hums.", "sent from my phone"),
        (f"It hums.\n\n{MARK}\n\nAnd it is hot.", "It hums.\n\n\nAnd it is hot.", "legal notice"),
        ("<p>Hm.</p>\n<p>Tom &amp; Co</p><div class=gmail_quote>old</div>", "Hm.\n\nTom & Co", "quote"),
        ("<p>It hums.</p><div class=gmail_quote>old</div>", "It hums.", "mail they quote"),
        ("It hums.<p id=divRplyFwdMsg>From: Bob</p>old<br>old", "It hums.", "mail they quote"),
        ("<p>It hums.</p><p style='display:none'>old</p>", "It hums.", "hidden text"),
    ],
)  # fmt: skip
def test_each_rule_takes_its_own_and_is_counted(body: str, left: str, rule: str) -> None:
    taken: set[str] = set()
    assert clean_body(body, taken=taken) == re.sub(r"\n{3,}", "\n\n", left)
    assert [rule in name for name in taken] == [True]


@pytest.mark.parametrize(
    ("text", "automatic"),
    [
        ("Out of office: Jane Roe", True),
        ("Automatic reply: I am out of the office until Monday and will read your message then.", True),
        ("I am on vacation until May 5 and will reply when I return.", True),
        ("I am on holiday; it is urgent that my parcel waits until I am back.", False),
        ("Out of office chairs I ordered, only one came", False),
        ("I am on holiday until May 5, please keep my parcel.", False),
        ("Delivery has failed twice: the driver did not ring.", False),
        ("Automatic message after message, but no lamp.", False),
    ],
)
def test_only_what_a_mail_program_wrote_is_automatic(text: str, automatic: bool) -> None:
    assert is_automatic(text) is automatic
    assert is_automatic("Hello", subject=text) is (automatic and not text.startswith("I am"))
