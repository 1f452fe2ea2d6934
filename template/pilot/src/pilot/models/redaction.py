"""Takes out of a text what names or reaches a person, before the text goes to a provider."""

# A pilot that builds does not install these libraries, and its type check reads this file all the same.
# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import re

import phonenumbers
from stdnum import iban, luhn

_MAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}\b", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w+])\d(?:[ -]?\d){12,18}\b")


def redact(text: str, country: str) -> str:
    """The text with e-mail addresses, IBANs, payment cards and phone numbers as [EMAIL], [IBAN], [CARD] and [PHONE].

    Numbers of accounts and cards are known by their check digits (ISO 13616, ISO/IEC 7812), phone numbers by the plans
    of all countries; `country` (two letters, ISO 3166) is the one whose numbers are written without a country code.
    Names of people are not found.
    """
    text = _MAIL.sub("[EMAIL]", text)
    text = _IBAN.sub(_account, text)
    text = _CARD.sub(lambda found: "[CARD]" if luhn.is_valid(_digits(found.group())) else found.group(), text)
    spans = [(match.start, match.end) for match in phonenumbers.PhoneNumberMatcher(text, country.upper())]
    for start, end in reversed(spans):
        text = f"{text[:start]}[PHONE]{text[end:]}"
    return text


def _account(found: re.Match[str]) -> str:
    """The longest beginning that is an IBAN is taken out: words may follow it without a sign in between."""
    said = found.group()
    for end in range(len(said), 14, -1):
        if said[end - 1].isalnum() and iban.is_valid(said[:end]):
            return "[IBAN]" + said[end:]
    return said


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
