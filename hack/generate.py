"""Write everything that comes from the models: CRDs, the chart's templates of them and its schema, reference pages."""

import sys
from pathlib import Path

from modelcascade.schema.outputs import generated_files

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Write the files that differ, and name them."""
    for name, content in generated_files().items():
        path = ROOT / name
        if path.exists() and path.read_text() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
