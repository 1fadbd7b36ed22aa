"""The headers that every answer carries, whatever it answers."""

import pytest
from tests.unit.serving.http.calling import JSON, Answered, Border

ALWAYS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
ORIGIN = "https://desk.example"


def everything(border: Border, **headers: str) -> dict[str, Answered]:
    return {
        "prediction": border.predict({}, **headers),
        "problem": border.predict({"problem": "bars_refused"}, **headers),
        "failure": border.predict({"fail": 1}, **headers),
        "model": border.ask("GET", "/v1/model", headers=headers),
        "metrics": border.ask("GET", "/metrics", headers=headers),
        "unknown": border.ask("GET", "/nothing", headers=headers),
        "method": border.ask("DELETE", "/v1/predict", headers=headers),
        "description": border.ask("GET", "/openapi.json", headers=headers),
        "too large": border.ask("POST", "/v1/predict", b"", JSON | {"content-length": "999999999999"} | headers),
    }


def test_every_answer_has_them() -> None:
    for name, answered in everything(Border()).items():
        assert {header: answered.headers.get(header) for header in ALWAYS} == ALWAYS, name
        assert answered.headers["x-request-id"], name
        assert "strict-transport-security" not in answered.headers, name
        assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(answered.headers), name
        assert int(answered.headers["content-length"]) == len(answered.body), name


def test_tls_tells_browsers_to_stay_with_it() -> None:
    for answered in everything(Border(tls_certificate_file="c.pem", tls_key_file="k.pem")).values():
        assert answered.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/docs"])
def test_the_documentation_may_load_its_own_files_only(path: str) -> None:
    answered = Border().ask("GET", path)
    policy = dict(part.strip().split(" ", 1) for part in answered.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert b"http://" not in answered.body + b""
    assert b"https://" not in answered.body
    assert b"<script>" not in answered.body


def test_cors_is_closed_by_default() -> None:
    border = Border()
    preflight = {"origin": ORIGIN, "access-control-request-method": "POST"}
    answered = border.ask("OPTIONS", "/v1/predict", headers=preflight)
    assert (answered.status, answered.slug) == (405, "method_not_allowed")
    for answered in everything(border, origin=ORIGIN).values():
        assert not [name for name in answered.headers if name.startswith("access-control")]


def test_cors_opens_to_the_named_origin_only() -> None:
    border = Border(cors_origins=(ORIGIN,))
    for name, answered in everything(border, origin=ORIGIN).items():
        assert answered.headers["access-control-allow-origin"] == ORIGIN, name
        assert "access-control-allow-credentials" not in answered.headers, name
        assert {header: answered.headers.get(header) for header in ALWAYS} == ALWAYS, name
    for answered in everything(border, origin="https://other.example").values():
        assert "access-control-allow-origin" not in answered.headers


@pytest.mark.parametrize(("origin", "status"), [(ORIGIN, 200), ("https://other.example", 400), ("null", 400)])
def test_a_preflight_is_answered_and_logged(origin: str, status: int) -> None:
    border = Border(cors_origins=(ORIGIN,))
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-request-id",
    }
    answered = border.ask("OPTIONS", "/v1/predict", headers=asked)
    assert answered.status == status
    assert answered.headers["x-frame-options"] == "DENY"
    (line,) = border.log.lines
    assert (line.method, line.status) == ("OPTIONS", status)
