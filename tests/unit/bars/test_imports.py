import subprocess
import sys

import pytest

HEAVY = ("pyarrow", "pandas", "ccxt", "pydantic", "scipy")


@pytest.mark.parametrize("module", ["tidegate.bars.bars", "tidegate.bars.interval"])
def test_the_bars_type_needs_numpy_only(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_interface_of_sources_needs_no_file_or_exchange_library() -> None:
    code = "import sys, tidegate.bars.sources; print([name for name in ('pyarrow', 'pandas', 'ccxt') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
