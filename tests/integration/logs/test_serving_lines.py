"""A serving process: its lines and its access log have the same ids, on standard error, in the file and at the syslog server."""

import json
from pathlib import Path

import pytest
from tests.integration.logs.rsyslog import central
from tests.integration.serving.http.running import ask, serving


def test_lines_about_a_request_have_its_id_and_all_lines_the_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with central(tmp_path) as there:
        # `serving` starts without the variables of tidegate that it does not set itself, so these come from the project's file.
        (tmp_path / "service" / "configs").mkdir(parents=True)
        text = f"logs:\n  file: {tmp_path}/logs/{{process}}.jsonl\n  syslog: 127.0.0.1:{there.port}\n"
        (tmp_path / "service" / "configs" / "base.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        with serving(tmp_path / "service", instance="one") as running:
            assert ask(running, "POST", "/v1/predict", b'{"fail": 1}', x_request_id="r-9").status == 500
            assert running.stop() == 0
        sent = there.wait_for("serving", 4)
    lines = [json.loads(line) for line in running.stderr().splitlines()]
    assert [line["message"].split()[0] for line in lines] == ["listening", "request", "stopping", "stopped"]
    assert {(line["process"], line["instance"]) for line in lines} == {("serving", "one")}
    assert [line.get("request_id") for line in lines] == [None, "r-9", None, None]
    assert "RuntimeError" in lines[1]["traceback"]
    (access,) = running.lines
    assert (access["request_id"], access["process"], access["instance"]) == ("r-9", "serving", "one")
    assert (tmp_path / "logs" / "serving-000001.jsonl").read_text() == running.stderr()
    assert [json.loads(line) for line in sent] == lines
