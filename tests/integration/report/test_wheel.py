"""The templates are shipped: without them an installed package cannot write a report."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_the_wheel_holds_every_template(tmp_path: Path) -> None:
    build = "from hatchling.builders.wheel import WheelBuilder; import sys; print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2]))"
    subprocess.run(
        [sys.executable, "-c", build, str(ROOT), str(tmp_path)], check=True, cwd=ROOT, capture_output=True, timeout=120
    )
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    templates = ROOT / "src" / "tidegate" / "report" / "templates"
    wanted = {f"tidegate/report/templates/{path.name}" for path in templates.iterdir()}
    assert len(wanted) >= 6
    assert wanted <= shipped
