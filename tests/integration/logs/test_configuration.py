"""The files that cannot be run here: as much of them as can be checked."""

import re
from typing import Any

import pytest
import yaml
from tests.integration.logs.rsyslog import CONFIGURATION

from tidegate.logs.ids import NAMES
from tidegate.logs.lines import MOST_MESSAGE, MOST_TRACEBACK

ALLOY = (CONFIGURATION / "alloy.alloy").read_text()
LOKI: dict[str, Any] = yaml.safe_load((CONFIGURATION / "loki.yaml").read_text())
_UTF8 = 4


def blocks(text: str) -> list[tuple[str, str]]:
    """Type and label of each component."""
    return re.findall(r'^([a-z_.]+) "(\w+)" \{$', text, flags=re.MULTILINE)


def test_alloys_parts_are_connected() -> None:
    assert ALLOY.count("{") == ALLOY.count("}")
    names = {f"{kind}.{label}" for kind, label in blocks(ALLOY)}
    assert names == {
        "local.file_match.tidegate",
        "loki.source.file.tidegate",
        "loki.process.tidegate",
        "loki.write.loki",
    }
    used = set(re.findall(r"\b((?:local|loki)\.[a-z_.]+?)\.(?:targets|receiver)\b", ALLOY))
    assert used == names - {"loki.source.file.tidegate"}


def test_alloy_takes_every_id_that_lines_have() -> None:
    (json_stage,) = re.findall(r"stage\.json \{(.*?)\n  \}", ALLOY, flags=re.DOTALL)
    found = set(re.findall(r"(\w+)\s+= \"\"", json_stage))
    assert found == {"at", "level", *NAMES}
    kept = set(re.findall(r"(\w+) = \"\"", "".join(re.findall(r"values = \{(.*?)\}", ALLOY))))
    assert kept == {"level", *NAMES}


def test_loki_stores_by_a_schema_that_its_retention_works_with() -> None:
    assert set(LOKI) == {
        "auth_enabled",
        "server",
        "common",
        "schema_config",
        "limits_config",
        "compactor",
        "analytics",
    }
    (schema,) = LOKI["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")
    assert schema["object_store"] in LOKI["common"]["storage"]
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == schema["object_store"]


@pytest.mark.parametrize("name", ["rsyslog-sender.conf", "rsyslog-central.conf"])
def test_the_longest_line_fits_into_a_message(name: str) -> None:
    (kilobytes,) = re.findall(r'maxMessageSize="(\d+)k"', (CONFIGURATION / name).read_text())
    assert int(kilobytes) * 1024 > _UTF8 * (MOST_MESSAGE + MOST_TRACEBACK) * 2


def test_logrotate_rotates_what_tidegate_does_not() -> None:
    text = (CONFIGURATION / "logrotate.conf").read_text()
    assert text.count("{") == text.count("}") == 2
    central, access = re.findall(r"^(/\S+) \{(.*?)^\}", text, flags=re.MULTILINE | re.DOTALL)
    assert central[0].endswith("/*/*.jsonl"), "FOLDER/<machine>/<process>.jsonl, as rsyslog-central.conf writes it"
    assert "kill -HUP" in central[1]
    assert "copytruncate" in access[1]
    assert "copytruncate" not in central[1]
