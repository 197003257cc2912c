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
        "By mistake you sent my confidential invoice to another recipient. It is an unauthorized disclosure.",
        "Hello,\n\nThis message was sent to me in error, it holds confidential data. What now?",
        "Hello,\n\nThis message, sent by mistake, holds confidential data of another recipient.",
        "Two things.\n\nBy mistake you sent the confidential mail of another recipient to our office.",
        "It hums.\n\nYour courier gave us confidential papers of another recipient by mistake.",
        "The lamp hums.\nThis e-mail is confidential and intended only for the addressee.",
        "On 5 May at 10:30 the courier Max Weber wrote:\n\nI left it at the door.\n\nBut it was not there.",
        "Look:\n\nOn 5 May 2026 at 10:30 the courier Max Weber wrote:\n\nI left it.\n\nBut it was not there.",
        "On 5 May 2026 at 10:30 Max Weber wrote:\n\nI left it at the door.\n\nBut it was not there.",
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
        ("No.\n\nOn Mon, Jan 5, 2026 at 9:31 AM The Shop  wrote:\n\nold", "No.", "mail they quote"),
        ("Oui.\n\nLe lun. 5 janv. 2026 à 09:31, Jane a écrit :\n\nold", "Oui.", "mail they quote"),
        ("Ja.\n\nAm 05.01.26 um 09:31 schrieb Jane von der Au:\n\nold", "Ja.", "mail they quote"),
        ("No.\n\nOn Monday Jane wrote:\n> old", "No.", "mail they quote"),
        ("It hums.\n\nKind regards,\nJane Roe\nHead of Lamps\nTel: +1 415 555 0132", "It hums.", "signature"),
        ("It hums.\n--\nThe Lamp Team\n12 Harbour Street, Boston\nlamps.example", "It hums.", "signature"),
        ("It hums.\n-- \njane, who wants a lamp", "It hums.", "signature"),
        ("Sent from my Samsung Galaxy smartphone\nIt hums.", "It hums.", "sent from my phone"),
        (f"It hums.\n\n{MARK}\n\nAnd it is hot.", "It hums.\n\n\nAnd it is hot.", "legal notice"),
        (f"Hi Jane,\n\nit hums.\n\n{MARK} Or notify me.", "Hi Jane,\n\nit hums.", "legal notice"),
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


@pytest.mark.parametrize(
    "text",
    [
        "I am currently on vacation with limited access to email. Please hold my delivery 4411 until 5 May.",
        "I am on vacation with no access to email. Please leave the parcel with the neighbour.",
        "I am on holiday, send an urgent request to the courier: my parcel must not be left outside.",
        "Ich bin im Urlaub und habe keine Vertretung. Bitte stellen Sie die Lieferung erst am 5. Mai zu.",
        "I got: your request has been received, do not reply to this. But my lamp never came.",
        "This is an automated message I got from you, but my lamp never came.",
        "Delivery status notification never came for my parcel",
        "Undeliverable: parcel 4411, says the page. Send it again.",
    ],
)
def test_a_request_in_words_of_a_notice_is_none(text: str) -> None:
    assert not is_automatic(text)


@pytest.mark.parametrize(
    ("subject", "text", "automatic"),
    [
        ("Delivery status notification never came", "I never got a mail about parcel 77. Is it lost?", False),
        ("Out of office - please change my delivery address", "I moved.", False),
        ("Out of office: please change the address", "Please deliver to 12 Harbour Street.", False),
        ("Automatic reply: what is it", "I get those for order 4411 again and again.", False),
        ("Undeliverable: parcel 4411", "It could not be delivered, says the courier.", False),
        ("Undeliverable: Re: my order", "Your message to jane@x.example couldn't be delivered.", True),
        ("Delivery Status Notification (Failure)", "Address not found", True),
        ("Mail delivery failed", "This message was created by mail delivery software.", True),
        ("Automatic reply: Your order 4411", "I am back on Monday. Need help? Please call Jo.", True),
        ("Out of Office AutoReply: Your order", "My colleague reads my mails.", True),
        ("Automatische Antwort: Bestellung", "Meine Vertretung ist da, bitte wenden Sie sich an sie.", True),
    ],
)
def test_an_automatic_subject_needs_a_text_that_asks_for_nothing(
    subject: str, text: str, automatic: bool
) -> None:
    assert is_automatic(text, subject) is automatic
