"""What is taken out of a text before a provider gets it, measured on examples of each kind."""

from __future__ import annotations

import asyncio
import csv
import os
from pathlib import Path

import pytest

pytest.importorskip("phonenumbers")

from small_data import Label
from stub_llm import StubLlm, good, item_of

from pilot.contract import PilotError
from pilot.models.llm import LlmModel
from pilot.models.redaction import redact
from pilot.settings import load_settings

# One value a line, as people write it into a message. All are made up, and have the check digits of real ones.
FOUND = {
    "EMAIL": [
        "jane@example.org",
        "jane.doe+shop@mail.example.co.uk",
        "j_d-1@example-shop.de",
        "o'hara@example.ie",
        "JANE@EXAMPLE.ORG",
        "müller@example.de",
        "jane%dept@example.com",
    ],
    "IBAN": [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "gb82west12345698765432",
        "FR1420041010050500013M02606",
        "NL91 ABNA 0417 1643 00",
        "CH93-0076-2011-6238-5295-7",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
    ],
    "CARD": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5500 0055 5555 5559",
        "378282246310005",
        "3782 822463 10005",
        "6011000990139424",
        "4222222222222",
    ],
    "PHONE": [
        "+49 30 1234567",
        "+44 20 7946 0958",
        "+1 (202) 456-1111",
        "+33 1 42 68 53 00",
        "030 1234567",
        "(030) 1234567",
        "030/1234567",
        "0171 2345678",
        "+4915112345678",
        "0049 30 1234567",
        "089-1234567",
    ],
}
KEPT = [
    "order 1234567890123",
    "card number 4111 1111 1111 1112 was refused",
    "DE89 3704 0044 0532 0130 01 is mistyped",
    "2026-11-30 at 10:15",
    "30.11.2026",
    "4,500.00 EUR",
    "version 10.2.33.4",
    "request 9f0c1f6e-3f0b-4a53-8f0e-1f6d1c2b3a4d",
    "@jane wrote",
    "a@b",
    "room 12-34",
    "from 9 to 17",
    "code 123456",
    "it costs 12 or 13 pounds",
    "invoice 2026/0815",
]
CASES = [(kind, value) for kind, values in FOUND.items() for value in values]


def text_of(value: str) -> str:
    return f"Please look into {value}, it is urgent"


def test_recall_and_precision_are_what_the_docs_say() -> None:
    """35 of 35 are found, and 1 of 15 other texts is changed; where that changes, so must the docs."""
    missed = [(kind, value) for kind, value in CASES if redact(text_of(value), "DE") != text_of(f"[{kind}]")]
    changed = [text for text in KEPT if redact(text, "DE") != text]
    assert (missed, changed) == ([], ["DE89 3704 0044 0532 0130 01 is mistyped"])
    assert (len(CASES), len(KEPT)) == (35, 15)


def test_all_kinds_in_one_text_are_taken_out() -> None:
    found = redact(" and ".join(values[0] for values in FOUND.values()), "DE")
    assert found == "[EMAIL] and [IBAN] and [CARD] and [PHONE]"


def test_the_country_is_the_one_of_numbers_without_a_code() -> None:
    assert redact("call 020 7946 0958", "GB") == "call [PHONE]"
    assert redact("call 020 7946 0958", "US") == "call 020 7946 0958"


def test_names_are_not_found_and_that_is_known() -> None:
    assert redact("I am Jane Doe of 5 High Street", "GB") == "I am Jane Doe of 5 High Street"


@pytest.mark.skipif("PILOT_TEST_BANKING77" not in os.environ, reason="needs the real queries")
def test_real_queries_without_such_data_stay_as_they_are() -> None:
    with (Path(os.environ["PILOT_TEST_BANKING77"]) / "test.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert len(texts) > 2000
    assert [text for text in texts if redact(text, "GB") != text] == []


@pytest.mark.parametrize(("country", "sent"), [("de", "mail [EMAIL]"), (None, "mail jane@example.org")])
def test_a_provider_gets_the_redacted_text_where_it_is_switched_on(
    country: str | None, sent: str, tmp_path: Path
) -> None:
    with StubLlm(lambda text: good("billing")) as stub:
        settings = load_settings(
            root=tmp_path, llm_model="openai:x", llm_api_key="sk-x", llm_base_url=stub.url, llm_redact=country
        )
        model = LlmModel(settings, prediction=Label, labels=("access", "billing"), instructions="", render=str)
        asyncio.run(model.predict_one("mail jane@example.org"))
        assert item_of(stub.requests[0]) == sent


def test_what_is_no_country_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PilotError, match="PILOT_LLM_REDACT"):
        load_settings(root=tmp_path, llm_redact="yes")
    assert load_settings(root=tmp_path, llm_redact="").llm_redact is None
