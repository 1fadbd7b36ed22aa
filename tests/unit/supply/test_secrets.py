"""The scan for secrets finds what is planted, knows what was reviewed, and shows nothing of it. No secret stands whole in this file."""

import re
import subprocess
from pathlib import Path

import pytest
from supply import secrets
from supply.secrets import Found, Known, complaints, read_known, renewed

from tidegate.keys.signing import Signer

PLANTED = {
    "AWS Access Key": "key = 'AKIA" + "Q3EGVBZ5XPKJ7LTD'\n",
    "Basic Auth Credentials": "url: postgresql://tide:" + "w8Vq2Lz@db.example/ledger\n",
    "Secret Keyword": 'password = "' + "correct-horse-battery" + '"\n',
    "GitHub Token": "token ghp_" + "a1B2" * 9 + "\n",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJ0aWRlIn0.abcDEF123_-x\n",
    "Base64 High Entropy String": "value = '" + "q8Zr1Xv7" + "Nf0LkTj3" + "Ws9PbYd5" + "Hc2Gm6Ea" + "'\n",
}


def checkout(folder: Path, files: dict[str, str]) -> Path:
    subprocess.run(["git", "init", "-q", folder], check=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "-C", folder, "add", "--force", "."], check=True)
    return folder


def run(folder: Path, *more: str) -> int:
    return secrets.main(
        ["--root", str(folder), "--known", str(folder / ".git" / "known.yaml"), "--workers", "1", *more]
    )


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("name", ["src/a.py", "configs/a.yaml", "notes.md", "a.lock", "b.css", "no_ending"])
def test_a_planted_secret_is_found_whatever_the_file_is_called(tmp_path: Path, kind: str, name: str) -> None:
    text = PLANTED[kind]
    found = secrets.scan(checkout(tmp_path, {"README.md": "nothing\n", name: text}), [name])
    assert kind in {one.kind for one in found if one.file == name}


def test_a_new_private_key_is_found_and_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = Signer.new().private_pem().decode()
    checkout(tmp_path, {"fine.py": "x = 1\n", "signing.pem": key})
    assert run(tmp_path) == 1
    told = capsys.readouterr().out
    assert "signing.pem:1: Private Key" in told
    assert key.splitlines()[1] not in told


def test_nothing_to_find_passes_and_a_mark_in_the_line_silences_nothing(tmp_path: Path) -> None:
    folder = checkout(tmp_path, {"a.py": "x = 1\n"})
    assert run(folder) == 0
    checkout(folder, {"b.py": PLANTED["AWS Access Key"].rstrip() + "  # pragma: allowlist " + "secret\n"})
    assert run(folder) == 1


def test_only_tracked_files_are_searched_and_a_place_without_them_is_refused(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "a", {"a.py": "x = 1\n"})
    (folder / "untracked.py").write_text(PLANTED["AWS Access Key"])
    assert run(folder) == 0
    for empty in (tmp_path / "none", checkout(tmp_path / "empty", {})):
        with pytest.raises(SystemExit, match="no git checkout with files"):
            run(empty)


def test_what_was_reviewed_passes_until_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkout(tmp_path, {"a.py": PLANTED["Secret Keyword"]})
    assert run(folder, "--write") == 1, "nobody has given a reason"
    assert "a.py: known without a reason" in capsys.readouterr().out
    known = folder / ".git" / "known.yaml"
    known.write_text(known.read_text().replace("why: ''", "why: made up"))
    assert run(folder) == 0
    (folder / "a.py").write_text("\n\n" + PLANTED["Secret Keyword"])
    assert run(folder) == 0, "lines move"
    (folder / "a.py").write_text(PLANTED["Secret Keyword"].replace("horse", "goose"))
    assert run(folder) == 1
    told = capsys.readouterr().out
    assert "a.py:1: Secret Keyword" in told
    assert "known and no longer there" in told
    assert run(folder, "--write") == 0, "the reason stays with the file"


def test_many_processes_find_the_same(tmp_path: Path) -> None:
    folder = checkout(tmp_path, {f"{n}.py": PLANTED["AWS Access Key"] if n % 7 == 0 else "x = 1\n" for n in range(40)})
    names = secrets.tracked(folder)
    assert secrets.scan(folder, names, workers=2) == secrets.scan(folder, names)
    assert len(secrets.scan(folder, names)) == 6


def test_complaints_and_renewal() -> None:
    one, two = Found("a.py", "Kind", "1" * 40, 3), Found("b.py", "Kind", "2" * 40, 4)
    known = {"a.py": Known("made up", {"Kind": ("1" * 40,)})}
    assert complaints([one], known) == []
    assert complaints([one, two], known) == ["b.py:4: Kind"]
    assert complaints([], known) == ["a.py: Kind 11111111 is known and no longer there"]
    assert complaints([one], {"a.py": Known(" ", known["a.py"].found)}) == ["a.py: known without a reason"]
    assert "why: made up" in renewed([one, two], known)
    assert "why: ''" in renewed([one, two], known)


def test_each_reviewed_finding_has_a_reason_and_a_file() -> None:
    known = read_known(secrets.KNOWN)
    tracked = set(secrets.tracked(secrets.ROOT))
    assert known
    assert [file for file, entry in known.items() if len(entry.why) < 10 or file not in tracked] == []


def test_make_check_has_the_scan() -> None:
    makefile = (secrets.ROOT / "Makefile").read_text()
    check = re.search(r"^check: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert check is not None
    assert "-m supply.secrets\n" in check[1]
    assert "-m supply.secrets --" not in check[1]
