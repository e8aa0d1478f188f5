"""MIME, SMS segments, money and back-off: the pure parts."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from service.mime import address, compose, sender
from service.money import money
from service.rendering import Rendered
from service.retry import CAP, delay
from service.sms import segments

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_mail_has_text_and_html_and_a_stable_message_id() -> None:
    content = Rendered("Grüße", "Hallo Jürgen\n", "<p>Hallo Jürgen</p>")
    raw = compose(
        "n1", sender("Shop <no-reply@shop.example>"), address("ann@example.org", "Jürgen"), content, AT
    ).as_bytes()
    raw.decode("ascii")
    mail = message_from_bytes(raw, policy=default)
    assert (mail["Subject"], mail["Message-ID"], mail["Date"]) == (
        "Grüße",
        "<n1@shop.example>",
        "Fri, 02 Jan 2026 03:04:05 +0000",
    )
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert plain.get_content().splitlines() == ["Hallo Jürgen"]


@pytest.mark.parametrize(
    "hostile", ["Ann\r\nBcc: x@example.org", "Ann\nSubject: y", 'A" <evil@example.org>, "', "a\x00b"]
)
def test_a_name_or_subject_cannot_add_a_header_or_a_recipient(hostile: str) -> None:
    raw = compose(
        "n1", sender("s@shop.example"), address("ann@example.org", hostile), Rendered(hostile, "t", ""), AT
    ).as_bytes()
    mail = message_from_bytes(raw, policy=default)
    assert sorted(mail.keys()) == sorted(
        [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "Content-Type",
            "Content-Transfer-Encoding",
            "MIME-Version",
        ]
    )
    assert [a.addr_spec for a in mail["To"].addresses] == ["ann@example.org"]


@pytest.mark.parametrize(
    "text",
    ["", "ann", "a@b@c.d", "a b@c.d", "a@c.d\r\nX: y", "<a@c.d>", "a@-c.d", "a@c..d", "a,b@c.d", "a@" + "d" * 300],
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address"):
        address(text)


def test_an_international_domain_is_written_in_ascii() -> None:
    assert address("ann@bücher.example").domain == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "count"),
    [
        ("", "gsm-7", 0, 1),
        ("a" * 160, "gsm-7", 160, 1),
        ("a" * 161, "gsm-7", 161, 2),
        ("a" * 306, "gsm-7", 306, 2),
        ("a" * 307, "gsm-7", 307, 3),
        ("€" * 80, "gsm-7", 160, 1),
        ("a" * 152 + "€" * 77, "gsm-7", 306, 3),  # an escape pair does not straddle two segments
        ("ж" * 70, "ucs-2", 70, 1),
        ("ж" * 71, "ucs-2", 71, 2),
        ("😀" * 35, "ucs-2", 70, 1),
        ("😀" * 67, "ucs-2", 134, 3),  # 33 surrogate pairs a segment, not 33.5
    ],
)
def test_sms_segments(text: str, encoding: str, units: int, count: int) -> None:
    found = segments(text)
    assert (found.encoding, found.units, found.count) == (encoding, units, count)


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [
        (1234, "EUR", "12.34 EUR"),
        (5, "USD", "0.05 USD"),
        (-150, "EUR", "-1.50 EUR"),
        (500, "JPY", "500 JPY"),
        (1, "KWD", "0.001 KWD"),
    ],
)
def test_money_has_the_decimals_of_its_currency(minor: int, currency: str, written: str) -> None:
    assert money(minor, currency) == written


@pytest.mark.parametrize("attempt", [1, 2, 5, 20, 2000])
def test_delays_grow_within_their_bounds(attempt: int) -> None:
    ceiling = min(CAP, 2.0 ** min(attempt - 1, 60))
    assert all(ceiling / 2 <= delay(attempt) <= ceiling for _ in range(50))
