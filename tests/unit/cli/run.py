"""Runs the command line in this process: what it prints and its exit code."""

import sys
from dataclasses import dataclass

import pytest

from tidegate.cli.main import main
from tidegate.cli.output import console


@dataclass(frozen=True, slots=True)
class Told:
    """What one command said."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class CommandLine:
    """The program, as a person's shell would start it."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Told:
        self.monkeypatch.setattr(sys, "argv", ["tidegate", *words])
        self.monkeypatch.setattr(console, "width", 80)
        self.capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = self.capsys.readouterr()
        return Told(code, captured.out, captured.err)
