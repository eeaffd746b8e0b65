"""Run every benchmark, or those named: ``python -m benchmarks [theory ...]``; each writes into ``results/bench/``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys

import benchmarks


def main(chosen: list[str]) -> int:
    """Call ``main`` of each benchmark module in alphabetical order; 2 when a name is unknown."""
    names = [found.name for found in pkgutil.iter_modules(benchmarks.__path__) if found.name != "__main__"]
    loaded = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    # a helper process of a benchmark has a coroutine for its main
    modules = {name: m for name, m in loaded.items() if hasattr(m, "main") and not inspect.iscoroutinefunction(m.main)}
    if chosen[:1] == ["soak"]:  # it takes hours, so it is run when asked for, and reads its own options
        modules["soak"].main()
        return 0
    modules.pop("soak")
    for name in chosen:
        if name not in modules:
            print(f"there is no benchmark {name!r}: choose among {', '.join(modules)}", file=sys.stderr)
            return 2
    for name in chosen or modules:
        modules[name].main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
