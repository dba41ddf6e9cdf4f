"""A minion's modules in a process of their own, which can be killed; calls and answers are lines.

`minion_process.py ROOT`: reads ["machine.install", [arguments]] and writes what funcd would answer, as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main(root: Path) -> None:
    from func.minion import registry

    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(name)s: %(message)s")
    methods = registry.load(root, ["machine", "virt"])
    for line in sys.stdin:
        method, arguments = json.loads(line)
        print(json.dumps(methods.call(method, arguments)), flush=True)
    methods.close()


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    main(Path(sys.argv[1]))
