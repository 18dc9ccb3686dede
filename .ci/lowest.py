"""Print the lowest versions that pyproject.toml allows of what the package needs, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> None:
    """One line for each dependency, ``name==version``."""
    for requirement in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]:
        found = re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement)
        if found is None:
            raise SystemExit(f"{requirement}: no lowest version is given")
        print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main()
