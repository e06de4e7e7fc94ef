"""Settings classes found by the name of their file: ``kind = "bigru"`` means ``SETTINGS`` of ``bigru.py``.

There is no list of kinds: a new file is a new kind. The code of a kind is imported by the same name.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache, reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from bigfusion.pipeline.settings import Settings


@cache
def settings_classes(package: str) -> dict[str, type[Settings]]:
    """The settings class of every kind: one for each module of ``package`` except ``base``."""
    modules = pkgutil.iter_modules(import_module(package).__path__)
    kinds = sorted(module.name for module in modules if module.name != "base")
    return {kind: import_module(f"{package}.{kind}").SETTINGS for kind in kinds}


def any_kind(package: str, default: str) -> Any:
    """These classes as a union for pydantic. A table without ``kind`` is of the ``default`` kind."""
    classes = settings_classes(package)

    def kind(table: Any) -> Any:
        return table.get("kind", default) if isinstance(table, Mapping) else getattr(table, "kind", None)

    return Annotated[
        reduce(or_, (Annotated[settings, Tag(name)] for name, settings in classes.items())),
        Discriminator(
            kind,
            custom_error_type="unknown_kind",
            custom_error_message=f"expected a kind among {', '.join(classes)}",
        ),
    ]


def changed_kind(table: Mapping[str, Any], package: str, default: str, kind: str) -> dict[str, Any]:
    """``table`` changed to ``kind``: the keys that all kinds share stay, those of the old kind alone are dropped.

    A key that the new kind narrows, as it does ``kind`` itself, is its own affair and is dropped as well; so is one
    that ``EACH_ITS_OWN`` of the package's ``base`` names.
    """
    classes = settings_classes(package)
    if table.get("kind", default) == kind or kind not in classes:
        return dict(table)
    base = import_module(f"{package}.base")
    shared, own = base.SHARED.model_fields, classes[kind].model_fields
    same = {name for name, field in shared.items() if own[name].annotation == field.annotation} - base.EACH_ITS_OWN
    return {name: value for name, value in table.items() if name in same}
