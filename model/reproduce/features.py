"""The rows of the table of features: all together, each alone, and all but each. One network, the same seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bigfusion.model.reproduce.systems import Base, System
from bigfusion.model.settings import network_settings
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.schema import FeatureName

ALL = "all"
"""The row that reads every feature. All others are compared with it."""


def features(base: Base, stored: Iterable[str]) -> list[System]:
    """The rows for the ``stored`` features that the network reads. A set that two rows would share comes once.

    Raises:
        SettingsError: there are fewer than two features.
    """
    names = [feature.name if feature.is_first else str(feature) for feature in base.model.chosen(stored)]
    if len(names) < 2:
        raise SettingsError(
            f"reproduce: expected at least two features to compare, found {', '.join(names) or 'none'}; name more in"
            " model.features"
        )
    short = [name.rpartition(".")[2] for name in names]
    titles = short if len(set(short)) == len(short) else names
    keys = [title.lower().replace("-", "_") for title in titles]
    systems = [_system(ALL, "all features", names, base)]
    for name, title, key in zip(names, titles, keys, strict=True):
        systems.append(_system(key, f"{title} alone", [name], base))
    if len(names) > 2:
        for name, title, key in zip(names, titles, keys, strict=True):
            kept = [other for other in names if other != name]
            systems.append(_system(f"without_{key}", f"all but {title}", kept, base))
    return systems


def _system(key: str, title: str, kept: Sequence[str], base: Base) -> System:
    wanted = {feature.modality for feature in _meant(kept, base)}
    own = base.model.model_dump(exclude_unset=True) | {"kind": base.model.kind}
    modalities = [modality for modality in base.model.modalities if modality in wanted]
    model = network_settings(own | {"features": list(kept), "modalities": modalities})
    return System(key, title, "", model, base.train)


def _meant(names: Sequence[str], base: Base) -> list[FeatureName]:
    full = [FeatureName(name) for name in names if "." in name]
    first = [FeatureName(modality) for modality in base.model.modalities]
    return full + [feature for feature in first if feature.name in names]
