"""The kernel of executed notebooks: the interpreter and the package that run them, and no other."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager


class OwnKernel(AsyncKernelManager):
    """Starts this interpreter with this process's module path, whatever kernelspecs are installed or named.

    A kernelspec called ``python3`` may be anybody's: one found through JUPYTER_PATH would run another checkout.
    """

    waiting: ClassVar[list[subprocess.Popen[str]]] = []

    @property
    def kernel_spec(self) -> KernelSpec:
        """Written here instead of looked up."""
        # jupyter_client fills in whatever stands between braces, which a folder's name may hold.
        argv = [*_COMMAND, _start().replace("{", r"\x7b"), "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")

    @classmethod
    def prepare(cls, notebook: Path) -> None:
        """Start the process of the kernel of a notebook that will run soon, after those prepared before it.

        Until it is launched it imports what the notebook takes from this package, which is most of what a kernel takes
        its time for, and then waits.
        """
        with suppress(OSError):  # then it is started in its turn, where whoever asked for it hears why it cannot be
            process = subprocess.Popen(
                [*_COMMAND, _start()], stdin=subprocess.PIPE, cwd=notebook.parent, text=True, start_new_session=True,
                env=os.environ | {"JPY_PARENT_PID": str(os.getpid())},
            )  # fmt: skip
            cls.waiting.append(process)
            _tell(process, sorted(_imported(notebook)))

    @classmethod
    def dismiss(cls) -> None:
        """End the processes that still wait."""
        while cls.waiting:
            process = cls.waiting.pop()
            process.kill()
            process.communicate()

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        """As jupyter_client, which leaves the how to subclasses: in the process that waits longest, or a new one."""
        process = self.waiting.pop(0) if self.waiting else None
        if process is None or not _tell(process, kernel_cmd[len(_COMMAND) + 1 :], last=True):
            await super()._async_launch_kernel(kernel_cmd, **kw)
            return
        assert self.provisioner is not None
        held = {"process": process, "pid": process.pid, "pgid": process.pid, "cwd": kw.get("cwd")}
        for name, value in held.items():
            setattr(self.provisioner, name, value)
        self._reconcile_connection_info(self.provisioner.connection_info)


def begin() -> None:
    """What the process of a kernel runs: with arguments, a kernel; without, what it is told on its standard input."""
    if not sys.argv[1:]:
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as kernels do
        for module in _told():
            with suppress(Exception):  # the notebook will meet it again, where it can be shown
                importlib.import_module(module)
        sys.argv[1:] = _told()
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


_COMMAND = (sys.executable, "-c")


def _start() -> str:
    modules = [os.path.abspath(place) for place in sys.path]
    return f"import sys; sys.path[:] = {modules!r}; from {__name__} import begin; begin()"


def _tell(process: subprocess.Popen[str], words: list[str], *, last: bool = False) -> bool:
    """Write a line to a waiting process; whether it is there to read it."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(json.dumps(words) + "\n")
        (process.stdin.close if last else process.stdin.flush)()
    return process.poll() is None


def _told() -> list[str]:
    """The next line of standard input; its end is that of whoever would have launched the kernel, and so of this."""
    line = sys.stdin.readline()
    return list(json.loads(line)) if line else sys.exit()


def _imported(notebook: Path) -> Iterator[str]:
    """Modules of this package that the cells of a notebook import; cells that are no plain Python are passed over."""
    package = __name__.partition(".")[0]
    for cell in nbformat.read(notebook, as_version=4).cells:
        with suppress(SyntaxError, ValueError):
            for node in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package:
                    yield node.module
