"""Takes the documentation's pictures anew: `python -m docs.screenshots` (many minutes, real servers, Debian's Chromium)."""

import sys
import tempfile
from pathlib import Path

from docs.screenshots.browser import PROGRAMS, find_chromium, opened
from docs.screenshots.pictures import FOLDER, take_all
from docs.screenshots.story import told


def main() -> int:
    """Let the story happen in a temporary folder, and write `docs/pictures/`; 2 where there is no Chromium."""
    chromium = find_chromium()
    if chromium is None:
        sys.stderr.write(
            f"none of {', '.join(PROGRAMS)} is on this machine; `make system` installs Debian's Chromium\n"
        )
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-screenshots-") as folder,
        told(Path(folder)) as story,
        opened(chromium) as context,
    ):
        take_all(context, story, FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
