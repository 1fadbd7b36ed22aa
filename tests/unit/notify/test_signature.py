"""Signatures: what is signed, and what a receiver believes."""

import pytest

from tidegate.notify.signature import is_genuine, sign

# printf '1780000000.{"id":"1"}' | openssl dgst -sha256 -hmac 'shared secret'
EXPECTED = "v1=18609ed9b6c23665db65b0c895e59681d485c8e6d65ef901a7376cbcb2c1ee56"
BODY = b'{"id":"1"}'


def test_the_signature_is_what_another_program_computes() -> None:
    assert sign(b"shared secret", 1_780_000_000, BODY) == EXPECTED


@pytest.mark.parametrize(
    ("change", "believed"),
    [
        ({}, True),
        ({"now_s": 1_780_000_300.0}, True),
        ({"now_s": 1_780_000_301.0}, False),
        ({"now_s": 1_779_999_699.0}, False),
        ({"secret": b"other"}, False),
        ({"body": BODY + b" "}, False),
        ({"timestamp": "1780000001"}, False),
        ({"timestamp": ""}, False),
        ({"timestamp": "-1780000000"}, False),
        ({"timestamp": "١٧٨٠٠٠٠٠٠٠"}, False),
        ({"signature": ""}, False),
        ({"signature": EXPECTED.removeprefix("v1=")}, False),
        ({"signature": EXPECTED.upper()}, False),
        ({"signature": "v1=é"}, False),
    ],
    ids=str,
)
def test_what_a_receiver_believes(change: dict[str, object], believed: bool) -> None:
    given: dict[str, object] = {
        "secret": b"shared secret",
        "signature": EXPECTED,
        "timestamp": "1780000000",
        "body": BODY,
        "now_s": 1_780_000_000.5,
    }
    assert is_genuine(**(given | change)) is believed  # type: ignore[arg-type]
