"""``--runner ray``: the chunks of an extraction as tasks on a Ray cluster, through prefect-ray (an optional extra).

The machines share only the shard folder and the media. Each task carries its part of the manifest, and each machine
keeps its own index.
"""

from __future__ import annotations

from typing import Any

from prefect import Flow

from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import SettingsError

_QUIET = {"include_dashboard": False, "log_to_driver": False}


def on_ray(flow: Flow[Any, Any], project: Project) -> Flow[Any, Any]:
    """``flow``, with its tasks on the Ray cluster at ``runner.ray_address``, or on a local one.

    Raises:
        SettingsError: prefect-ray is not installed.
    """
    try:
        from prefect_ray import RayTaskRunner
    except ImportError:
        raise SettingsError(
            "runner ray: expected prefect-ray, found none; install it with `pip install -e '.[ray]'`"
        ) from None
    address = project.runner.ray_address
    return flow.with_options(task_runner=RayTaskRunner(address=address, init_kwargs={} if address else dict(_QUIET)))
