"""Runs as the facility's Kafka broker reports them, in the documents that Bluesky publishes there."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from gbx_beamline.config import KafkaConfig
from gbx_beamline.errors import ConfigError
from gbx_services.spool import Backoff
from gbx_services.triggers.protocol import Accept
from gbx_services.triggers.run_engine import reported

logger = logging.getLogger(__name__)

_PATIENCE = Backoff(first=1.0, longest=60.0)


class KafkaTrigger:
    """Consumes Bluesky documents. An offset is committed only after the spool has the run: at least once.

    Args:
        settings: Brokers, topics, group.
        accept: Takes the reports.

    Raises:
        ConfigError: the variable that is to hold the password is empty.
    """

    name = "kafka"

    def __init__(self, settings: KafkaConfig, accept: Accept) -> None:
        self._settings = settings
        self._accept = accept
        self._consumer_config = consumer_config(settings)
        self._consumer_config["error_cb"] = self._note_error
        self._stopping = threading.Event()
        self._renewing = threading.Event()
        self.trouble = "not connected yet"
        self._thread = threading.Thread(target=self._consume, name="gbx-kafka", daemon=True)

    def start(self) -> None:
        """Begin to listen; returns at once. librdkafka connects, and connects again, by itself."""
        self._thread.start()

    def renew(self) -> None:
        """Make another consumer, which goes on where the group was."""
        self._renewing.set()

    def stop(self) -> None:
        """End after the message under way."""
        self._stopping.set()
        self._thread.join(10.0)

    def _consume(self) -> None:
        from bluesky_kafka import BlueskyConsumer

        tries = 0
        while not self._stopping.is_set():
            self._renewing.clear()
            try:
                consumer: Any = BlueskyConsumer(
                    topics=list(self._settings.topics),
                    bootstrap_servers=",".join(self._settings.bootstrap_servers),
                    group_id=self._settings.group_id,
                    consumer_config=self._consumer_config,
                    process_document=self._heard,
                )
                self.trouble = ""
                consumer.start(continue_polling=self._goes_on)
                tries = 0
            except Exception as error:  # noqa: BLE001 - whatever the client raises, we connect again
                tries, self.trouble = tries + 1, str(error)
                logger.warning("the broker cannot be heard: %s", error)
            self._stopping.wait(_PATIENCE.delay(tries) if tries else 0.0)

    def _goes_on(self) -> bool:
        return not (self._stopping.is_set() or self._renewing.is_set())

    def _heard(self, consumer: Any, topic: str, name: str, doc: Any) -> bool:
        del topic
        self.trouble = ""
        if name == "stop" and isinstance(doc, dict) and (report := reported(doc)) is not None:
            if not self._accept(report[0], source=self.name, stopped=report[1]):
                return False
            consumer.commit(asynchronous=False)
        return True

    def _note_error(self, error: Any) -> None:
        self.trouble = str(error)
        logger.warning("the broker cannot be heard: %s", error)


def consumer_config(settings: KafkaConfig) -> dict[str, Any]:
    """Settings of librdkafka, with the password from the environment.

    Raises:
        ConfigError: the variable that is to hold the password is empty.
    """
    chosen: dict[str, Any] = {
        # A group that is new begins with what comes: what was before is the sweep's.
        "auto.offset.reset": "latest",
        **settings.settings,
        "enable.auto.commit": False,
    }
    if settings.password_env is not None:
        password = os.environ.get(settings.password_env)
        if not password:
            raise ConfigError(
                f"the variable {settings.password_env} is empty",
                needed="the password for Kafka",
                action="set it, or correct serve.triggers.kafka.password_env",
            )
        chosen["sasl.password"] = password
    return chosen
