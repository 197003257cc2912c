"""The text of an HTML mail: without quoted mails, signatures, scripts and what nobody sees.

Quotes are known by the marks that mail programs leave: `blockquote`, `gmail_quote`, Outlook's reply block.
Answers that Gmail's users write between the quotes stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape
from itertools import takewhile
from typing import TYPE_CHECKING

from stateset.rl.errors import MissingExtraError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag
    from bs4.element import PageElement

_DROPPED = ("script", "style", "head", "title", "template", "noscript", "object", "svg")
_QUOTES = (
    "blockquote[type=cite], blockquote.gmail_quote, .gmail_quote, .gmail_extra, .yahoo_quoted, "
    ".moz-cite-prefix, blockquote.protonmail_quote, .protonmail_quote, #appendonsend, "
    ".zd-quote, .quoted-reply, .zmail_extra"
)
_SIGNATURES = (
    ".gmail_signature, .gmail_signature_prefix, [data-smartmail=gmail_signature], .moz-signature, "
    ".signature, .email-signature, #signature, #Signature, .protonmail_signature_block, "
    ".ms-outlook-mobile-signature"
)
_FORWARDED = (
    "#divRplyFwdMsg, #x_divRplyFwdMsg, .OutlookMessageHeader, #mail-editor-reference-message-container"
)
_BLOCKS = (
    *("address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "footer"),
    *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section"),
    *("table", "tr", "ul"),
)
_INLINE = (
    *(
        "a",
        "b",
        "body",
        "br",
        "code",
        "em",
        "font",
        "head",
        "html",
        "i",
        "img",
        "li",
        "script",
        "small",
        "span",
    ),
    *("strong", "style", "sub", "sup", "tbody", "td", "th", "thead", "u", "meta", "title", "s", "del", "big"),
)
_LOOKS_LIKE_HTML = re.compile(rf"<!doctype|</?(?:{'|'.join((*_BLOCKS, *_INLINE))})(?:\s[^<>]*)?/?>", re.I)
TAKEN = {
    "quote": "messages without the mail they quote",
    "signature": "messages without their signature",
    "hidden": "messages without hidden text",
}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_NO_SIZE = re.compile(r"font-size\s*:\s*0(?:px|pt)?\s*(?:;|$)", re.I)
_A_SIZE = re.compile(r"font-size\s*:\s*(?!0(?:px|pt)?\s*(?:;|$))", re.I)


def looks_like_html(text: str) -> bool:
    """Whether a text of unknown kind holds tags; `<my name>` is none."""
    return bool(_LOOKS_LIKE_HTML.search(text))


def html_to_text(html: str, taken: set[str] | None = None) -> str:
    """Plain text with its paragraphs and list points; a link keeps its words, and its address if they differ.

    Args:
        html: a body.
        taken: to which is added, in words for people, what was left out of the text.

    Raises:
        MissingExtraError: beautifulsoup4 is not installed.
    """
    try:
        from bs4 import BeautifulSoup
    except ImportError as error:
        raise MissingExtraError(
            "reading HTML bodies needs beautifulsoup4: pip install 'stateset-rl[data]'"
        ) from error
    soup = BeautifulSoup(html, "html.parser")
    _drop_unread(soup, set() if taken is None else taken)
    lines: list[str] = []
    _write(soup, lines, pre=False)
    text = "".join(lines).replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "")
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", text)
    return unescape(re.sub(r"\n{3,}", "\n\n", text)).strip()


def _drop_unread(soup: BeautifulSoup, taken: set[str]) -> None:
    from bs4 import Comment

    for tag in soup.select(", ".join(_DROPPED)):
        tag.decompose()
    for comment in soup.find_all(string=lambda found: isinstance(found, Comment)):
        comment.extract()
    for tag in soup.select(_QUOTES):
        for part in [] if tag.decomposed else _quoted(tag):
            _drop(part, taken, TAKEN["quote"])
    for tag in soup.select(_SIGNATURES):
        _drop(tag, taken, TAKEN["signature"])
    styled = soup.select("[style]")
    sized = _around_sizes(styled)
    for tag in styled:
        if not tag.decomposed and _is_hidden(tag, sized):
            _drop(tag, taken, TAKEN["hidden"])
    for tag in soup.select(_FORWARDED):  # the quoted mail stands behind its header, not in it
        for later in list(tag.next_siblings):
            later.extract()
        _drop(tag, taken, TAKEN["quote"])


def _quoted(tag: Tag) -> list[PageElement]:
    """What is quoted of a mark's tag: all of it, but for Gmail's box around quotes and answers.

    That box begins with who wrote, up to a colon, and a blockquote. Without these it is a forwarded mail, or
    one of a program that marks nothing else.
    """
    if "gmail_extra" in tag.get_attribute_list("class") and tag.select_one(".gmail_quote"):
        return []  # it holds what was written below the quote, too; the quote comes by itself
    first = None if tag.name == "blockquote" else tag.find("blockquote", recursive=False)
    if first is None:
        return [tag]
    wrote = tag.select(":scope > .gmail_attr") or list(first.previous_siblings)[::-1]
    said = "".join(part.get_text() for part in wrote).strip()
    return [tag] if said and not said.endswith(":") else [*wrote, *tag.select("blockquote")]


def _around_sizes(styled: Iterable[Tag]) -> set[int]:
    """The `id` of each tag within which a text has a size."""
    found: set[int] = set()
    for tag in styled:
        if _A_SIZE.search(str(tag.get("style", ""))):
            found.update(map(id, takewhile(lambda parent: id(parent) not in found, tag.parents)))
    return found


def _is_hidden(tag: Tag, sized: set[int]) -> bool:
    """Whether nobody sees its text; MJML writes `font-size:0` around every text with its own size."""
    style = str(tag.get("style", ""))
    return bool(_HIDDEN.search(style) or (_NO_SIZE.search(style) and id(tag) not in sized))


def _drop(tag: PageElement, taken: set[str], name: str) -> None:
    if not tag.decomposed:
        taken |= {name} if tag.get_text(strip=True) else set()
        tag.decompose()


def _write(tag: Tag, lines: list[str], *, pre: bool) -> None:
    from bs4 import Tag as AnyTag

    for child in tag.children:
        if not isinstance(child, AnyTag):
            lines.append(str(child) if pre else re.sub(r"\s+", " ", str(child)))
        elif child.name == "br":
            lines.append("\n")
        elif child.name == "li":
            lines.append("\n- ")
            _write(child, lines, pre=pre)
        elif child.name in ("td", "th"):
            _write(child, lines, pre=pre)
            lines.append(" ")
        elif child.name == "a":
            lines.append(_link(child))
        elif child.name in _BLOCKS:
            ends = "\n\n" if child.name in ("p", "ul", "ol", "blockquote", "table") else "\n"
            lines.append(ends)
            _write(child, lines, pre=pre or child.name == "pre")
            lines.append(ends)
        else:
            _write(child, lines, pre=pre)


def _link(tag: Tag) -> str:
    words = re.sub(r"\s+", " ", tag.get_text()).strip()
    address = str(tag.get("href") or "")
    known = address.removeprefix("mailto:").removeprefix("tel:")
    if not address.startswith(("http://", "https://", "mailto:", "tel:")) or known.rstrip("/") in words:
        return words
    bare = re.sub(r"^https?://(www\.)?", "", known).rstrip("/")
    return words if words and bare == words else f"{words} ({known})" if words else known
