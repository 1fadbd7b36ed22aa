"""What looks like a secret is masked; what does not is left as it is."""

import logging
import secrets

import pytest

from tidegate.keys.api_keys import new_key
from tidegate.logs.lines import JsonLines
from tidegate.logs.redaction import without_secrets

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pa55@host:5000/x is away", "http://user:***@host:5000/x is away"),
        ("postgresql+psycopg://tide:p@ss@db/ledger", "postgresql+psycopg://tide:***@db/ledger"),
        ("sent Authorization: Bearer abcdef.123456", "sent Authorization: Bearer ***"),
        ("Authorization: basic dXNlcjpwYXNz", "Authorization: basic ***"),
        ("password=hunter2 refused", "password=*** refused"),
        ('{"secret": "abc123", "n": 1}', '{"secret": ***, "n": 1}'),
        ("api_key: 'abcdef'", "api_key: ***"),
        ("?token=abcdef&page=2", "?token=***&page=2"),
        (f"read {PEM} from a file", "read *** from a file"),
        (PEM[:40], "***"),
        ("postgresql://tide:pa/ss@db/ledger", "postgresql://tide:***@db/ledger"),
        ("https://ghp_0123456789abcdefABCDEF@github.com/x", "https://***@github.com/x"),
        ("https://ghp_0123456789abcdefABCDEF:x-oauth-basic@github.com/x", "https://***:***@github.com/x"),
        ("?access_token=abcdef&page=2", "?access_token=***&page=2"),
        ("smtp_password=hunter2", "smtp_password=***"),
        ("MLFLOW_TRACKING_PASSWORD=hunter2 PGPASSWORD=hunter3", "MLFLOW_TRACKING_PASSWORD=*** PGPASSWORD=***"),
        ("{'client_secret': 'a b,c', 'n': 1}", "{'client_secret': ***, 'n': 1}"),
        ("aws_secret_access_key: abc/def+g", "aws_secret_access_key: ***"),
        ("secret_key=abcdef;clientSecret=ghijkl", "secret_key=***;clientSecret=***"),
        ("headers {'X-Api-Key': b'abcdef'}", "headers {'X-Api-Key': ***}"),
        (r"body {\"password\": \"hunter2\", \"n\": 1}", r"body {\"password\": ***, \"n\": 1}"),
        (r'password="hun\"ter" refused', "password=*** refused"),
        ('password="hunter 2 was cut of', "password=***"),
        ("Authorization: Token abcdef0123", "Authorization: Token ***"),
        ('{"Authorization": "ApiKey abc"}', '{"Authorization": "ApiKey ***"}'),
        ("Proxy-Authorization: abcdef", "Proxy-Authorization: ***"),
        ("ran mc --secret-key abcdef --region x", "ran mc --secret-key *** --region x"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_an_api_key_is_masked_but_its_id_stays() -> None:
    text, _ = new_key("bot-1", ["predict"], created_at=0)
    assert without_secrets(f"key {text} refused") == "key tg_bot-1_*** refused"


@pytest.mark.parametrize(
    "text",
    [
        "listening on http://127.0.0.1:8000",
        "sqlite:////srv/tidegate/data/ledger.db cannot be reached",
        "the token of the lock is 7",
        "basic checks passed",
        "eurusd-sample: production: v3 (0123456789ab, from registry) -> v4",
        "s3://bucket/key@v2",
        "ssh://git@host/repository",
        "postgresql://tide@db/ledger",
        "smtp_password_file: secrets/smtp-password",
        "passed: 120, compass: north",
        "PATH=/usr/bin",
    ],
)
def test_other_texts_are_left(text: str) -> None:
    assert without_secrets(text) == text


def test_messages_and_tracebacks_go_through_it() -> None:
    secret = secrets.token_hex()
    error = ConnectionError(f"https://u:{secret}@host failed")
    made = logging.LogRecord("x", logging.ERROR, "f", 1, "%s", (error,), (type(error), error, None))
    line = JsonLines().format(made)
    assert secret not in line
    assert line.count("u:***@host") == 2
