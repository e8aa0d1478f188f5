"""E-mails as bytes: injection-safe headers, plain text with an HTML alternative."""

from __future__ import annotations

import re
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from service.rendering import Rendered, one_line

TEST_HEADER = "X-Test-Account"
MAX_ADDRESS = 254  # RFC 5321 4.5.3.1, as corrected by erratum 1690
ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@(?=.{1,253}$)[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)*")


def address(text: str, name: str = "") -> Address:
    """Read an e-mail address (`a@b.example`, no comments, no quoting). Raises `ValueError` with the value in it."""
    if len(text) > MAX_ADDRESS or not text.isprintable() or not ADDRESS.fullmatch(text):
        raise ValueError(f"`{one_line(text)[:80]}` is not an e-mail address")
    local, _, domain = text.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
        return Address(display_name=one_line(name)[:120], username=local, domain=domain)
    except (ValueError, MessageError):
        raise ValueError(f"`{one_line(text)[:80]}` is not an e-mail address") from None


def sender(text: str) -> Address:
    """Read a sender as people write it: `Shop <no-reply@shop.example>`. Raises `ValueError`."""
    name, spec = parseaddr(one_line(text))
    return address(spec or text, name)


def compose(
    message_id: str, sent_by: Address, recipient: Address, content: Rendered, at: datetime, *, test: bool = False
) -> EmailMessage:
    """Build the mail. The Message-ID comes from `message_id`, so that a mail sent twice is the same mail (RFC 5322).

    A mail to a test account has the header `X-Test-Account`.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sent_by
    mail["To"] = recipient
    mail["Subject"] = one_line(content.subject)
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{message_id}@{sent_by.domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: stops vacation notices
    if test:
        mail[TEST_HEADER] = "true"
    mail.set_content(content.text, cte="quoted-printable")
    if content.html:
        mail.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return mail
