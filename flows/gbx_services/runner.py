"""``python -m gbx_services.runner``: registers the end-of-run deployment and carries out its flow runs.

May be started together with its Prefect server, whose address is in ``PREFECT_API_URL``.
"""

from __future__ import annotations

import os
import sys
import time

from prefect import serve
from prefect.types.entrypoint import EntrypointType

from gbx_flows.end_of_run import end_of_run_workflow
from gbx_services.prefect_service import DEPLOYMENT, START_SECONDS, answers

_POLL_SECONDS = 0.3


def main() -> None:
    """Wait for the server, then serve until stopped."""
    health = f"{os.environ['PREFECT_API_URL']}/health"
    deadline = time.monotonic() + START_SECONDS
    while not answers(health):
        if time.monotonic() > deadline:
            sys.exit(f"no Prefect server answers at {health} within {START_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    deployment = end_of_run_workflow.to_deployment(
        name=DEPLOYMENT.split("/")[1],
        description="Analyse a scan when its stop document arrives.",
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # One scan at a time: two would share the same cores.
    serve(deployment, limit=1, print_starting_message=False)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
