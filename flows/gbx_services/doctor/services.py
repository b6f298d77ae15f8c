"""Services beside the catalog: Prefect, `gbx serve`, Kafka, Dask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpx

from gbx_beamline import __version__, assemble
from gbx_beamline.config import Config, KafkaConfig
from gbx_services.doctor.checking import Check, Level, bad, good

ANSWER_SECONDS = 5.0
"""For one answer over the network."""


def check_prefect(config: Config) -> Iterator[Check]:
    """Prefect's server with its database, and whoever carries out the end-of-run deployment."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        yield good("prefect", "`gbx serve` starts its own (PREFECT_API_URL is not set)")
        return
    key, auth = PREFECT_API_KEY.value(), PREFECT_API_AUTH_STRING.value()
    login = tuple(auth.get_secret_value().split(":", 1)) if auth else None
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    with httpx.Client(base_url=url, auth=login, headers=headers, timeout=ANSWER_SECONDS) as client:  # pyright: ignore[reportArgumentType]
        try:
            theirs = client.get("/admin/version")
            ready = client.get("/ready")
        except httpx.HTTPError as error:
            action = "start it (systemctl start gbx-prefect), or correct PREFECT_API_URL"
            yield bad("prefect", f"{url}: {error}", "a server that answers", action)
            return
        if theirs.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            action = "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
            yield bad("prefect", f"{url} refuses the key ({theirs.status_code})", "a key that it accepts", action)
            return
        yield _prefect_version(url, theirs)
        if ready.status_code == httpx.codes.OK:
            yield good("prefect: database", "answers")
        else:
            found = f"the server says that it is not ready ({ready.status_code})"
            yield bad("prefect: database", found, "a database that answers", "start PostgreSQL; see Prefect's log")
        yield _deployment(client, config)


def _prefect_version(url: str, answer: httpx.Response) -> Check:
    ours = version("prefect")
    theirs = str(answer.json()) if answer.status_code == httpx.codes.OK else f"unknown ({answer.status_code})"
    if ours == theirs:
        return good("prefect", f"{url} answers, {theirs} on both sides")
    found = f"{url} has {theirs}, this client {ours}"
    return bad("prefect", found, "the same version", f"install prefect=={ours} there", level=Level.WARNING)


def _deployment(client: httpx.Client, config: Config) -> Check:
    name = f"end-of-run/{config.serve.deployment}"
    answer = client.get(f"/deployments/name/{name}")
    title = "prefect: deployment"
    if answer.status_code == httpx.codes.NOT_FOUND:
        if config.serve.runner:
            return good(title, f"{name} is registered when `gbx serve` starts")
        action = "register it (prefect deploy), or correct serve.deployment"
        return bad(title, f"no deployment {name}", "the one that serve.deployment names", action)
    said = answer.json() if answer.status_code == httpx.codes.OK else {}
    if said.get("paused"):
        return bad(title, f"{name} is paused", "a deployment that runs", f"prefect deployment schedule resume {name}")
    if said.get("status") == "READY":
        return good(title, f"{name}: somebody carries it out")
    who = "start `gbx serve`" if config.serve.runner else "start a worker (systemctl start gbx-worker@1)"
    return bad(title, f"nobody asks for the runs of {name}", "a runner or a worker", who, level=Level.WARNING)


def check_serve(config: Config) -> Iterator[Check]:
    """The health page of `gbx serve`."""
    health = config.serve.health
    if not health.port:
        yield good("serve", "takes any free port for its health page; its log says which")
        return
    host = "127.0.0.1" if health.host in ("0.0.0.0", "", "::") else health.host
    url = f"http://{host}:{health.port}/health"
    try:
        answer = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False)
        said = answer.json()
        components: dict[str, str] = said["components"]
    except httpx.HTTPError:
        if assemble.server_address(config) is None:
            yield good("serve", f"not running at {url}; `gbx serve` starts it")
            return
        action = "start it where scans are to be analysed by themselves: systemctl start gbx-serve"
        yield bad("serve", f"not running at {url}", "a service", action, level=Level.WARNING)
        return
    except (ValueError, KeyError, TypeError):
        yield bad("serve", f"{url} is no page of `gbx serve`", "its own port", "set serve.health.port to another")
        return
    if said["version"] != __version__:
        found = f"runs version {said['version']}, installed is {__version__}"
        yield bad("serve", found, "the same version", "restart it: systemctl restart gbx-serve", level=Level.WARNING)
    for name, trouble in components.items():
        if trouble != "ok":
            action = f"docs/how-to/runbook.md, GbxComponentDown ({name})"
            yield bad(f"serve: {name}", trouble, "a component that works", action)
    if said.get("paused"):
        found = f"analysis is switched off: {said['paused']['reason']}"
        yield bad("serve", found, "analysis, unless it is meant so", "gbx queue resume", level=Level.WARNING)
    parked = int((said.get("queue") or {}).get("parked", 0)) if isinstance(said.get("queue"), dict) else 0
    if parked:
        action = "see why with `gbx queue list`, then `gbx queue retry UID` or `gbx queue drop UID`"
        yield bad("serve: queue", f"{parked} jobs were given up", "none", action, level=Level.WARNING)
    if answer.status_code == httpx.codes.OK:
        yield good("serve", f"{said['status']} at {url}")


def check_kafka(settings: KafkaConfig) -> Iterator[Check]:
    """Brokers and topics."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from gbx_services.triggers.kafka import consumer_config

    brokers = ",".join(settings.bootstrap_servers)
    asked = {name: value for name, value in consumer_config(settings).items() if name not in _OF_CONSUMERS}
    errors: list[str] = []
    stated: Any = {**asked, "bootstrap.servers": brokers, "error_cb": lambda error: errors.append(str(error))}
    client = AdminClient(stated)
    try:
        found: Any = client.list_topics(timeout=ANSWER_SECONDS)
    except KafkaException as error:
        said = errors[0] if errors else str(error.args[0])
        action = "start the broker, or correct serve.triggers.kafka; the sweep finds the runs meanwhile"
        yield bad("kafka", f"{brokers}: {said}", "a broker that answers", action)
        return
    absent = [topic for topic in settings.topics if topic not in found.topics]
    if absent:
        action = "correct serve.triggers.kafka.topics; the sweep finds the runs meanwhile"
        yield bad("kafka", f"{brokers} has no topic {', '.join(absent)}", "the topics of the documents", action)
    else:
        yield good("kafka", f"{len(found.brokers)} brokers, {', '.join(settings.topics)}")


_OF_CONSUMERS = ("auto.offset.reset", "enable.auto.commit")


def check_dask(address: str | None) -> Iterator[Check]:
    """A Dask scheduler and its workers."""
    address = address or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        yield good("dask", "none is named (--dask, DASK_SCHEDULER_ADDRESS)")
        return
    from distributed import Client

    try:
        with Client(address, timeout=ANSWER_SECONDS, set_as_default=False) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            versions: Any = client.get_versions()
    except (OSError, ValueError) as error:
        action = "start it (dask scheduler), or correct the address"
        yield bad("dask", f"{address}: {error or type(error).__name__}", "a scheduler that answers", action)
        return
    if not workers:
        yield bad("dask", f"{address} has no workers", "workers", f"dask worker {address}")
        return
    others = {
        f"{name}: {package} {theirs}"
        for name, one in versions["workers"].items()
        for package, theirs in one["packages"].items()
        if package in ("python", "distributed", "numpy") and theirs != versions["client"]["packages"][package]
    }
    if others:
        found = f"{len(others)} differ from here: {', '.join(sorted(others)[:3])}"
        yield bad("dask", found, "the same versions on all machines", "install the same there", level=Level.WARNING)
    else:
        threads = sum(one["nthreads"] for one in workers.values())
        yield good("dask", f"{len(workers)} workers with {threads} threads at {address}")
