"""Results that notebooks wait for, computed once for the code and the arguments they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lrrecsys_core import paths
from lrrecsys_core.source_code import code_hash
from lrrecsys_core.study.fingerprints import TEXT_CODE, content_hash

Result = TypeVar("Result")


def remembered(function: Callable[..., Result], /, *given: Any, about: Any = None, **named: Any) -> Result:
    """What a function of the package returns, read from `paths.memory` where its code and all it is given are known.

    Parameters
    ----------
    about
        JSON-able content that stands for what is given where that is too large to compare; None compares all of it.
    """
    module = function.__module__
    code = code_hash((module.partition(".")[2],), TEXT_CODE)
    key = content_hash([module, function.__qualname__, code, about])
    ignored = ["function"] if about is None else ["function", "given", "named"]
    result: Result = paths.memory().cache(_called, ignore=ignored)(key, function, given, named)
    return result


def _called(key: str, function: Callable[..., Result], given: tuple[Any, ...], named: dict[str, Any]) -> Result:
    return function(*given, **named)
