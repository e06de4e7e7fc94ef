"""Every settings class of the project, and the settings whose first default is written down nowhere yet.

As a script it writes those into pipeline/first_defaults.json; what stands there is never changed.
"""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import bigfusion
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.settings import FIRST_DEFAULTS, Settings, first_defaults


def settings_classes() -> list[type[Settings]]:
    """Every settings class that a module of the project defines, by name."""
    for module in pkgutil.walk_packages(bigfusion.__path__, "bigfusion."):
        importlib.import_module(module.name)
    return sorted(set(_below(Settings)), key=lambda kind: kind.__name__)


def _below(kind: type[Settings]) -> Iterator[type[Settings]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("bigfusion.") and not below.named_as:
            yield below
            yield from _below(below)


def missing() -> dict[str, Any]:
    """The present defaults of all settings that have one and stand in no file, by ``Class.field``."""
    known = first_defaults()
    return {
        f"{kind.__name__}.{name}": kind.present_default(name)
        for kind in settings_classes()
        for name, field in kind.model_fields.items()
        if not field.is_required() and f"{kind.__name__}.{name}" not in known
    }


if __name__ == "__main__":
    both = first_defaults() | missing()
    text = json.dumps(dict(sorted(both.items())), indent=1, ensure_ascii=False)
    write_whole(FIRST_DEFAULTS, f"{text}\n".encode())
