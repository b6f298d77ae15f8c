"""Configurations with which a service would run in vain."""

from __future__ import annotations

from gbx_beamline.config import Config, ModelsConfig
from gbx_beamline.errors import ConfigError, InputError


def check_rules(config: Config) -> None:
    """Refuse rules that could only make failures.

    Raises:
        ConfigError: no q-ROI, for a rule and a sample that it may meet.
    """
    samples = [None, *config.samples]
    without = [
        name
        for name, rule in config.selection.items()
        if rule.enabled and not any(config.for_run(sample, name).rois.given for sample in samples)
    ]
    if without:
        raise ConfigError(
            f"no q-ROI for the selection rule{'s' if len(without) > 1 else ''} {', '.join(without)}",
            needed="at least one box, ring or label image",
            action="add analysis.rois to the configuration (configs/demo.yaml shows how), and name it with --config",
        )


def check_frozen(models: ModelsConfig) -> None:
    """Refuse frozen models that cannot be asked: a beamtime must not begin without its model.

    Raises:
        ConfigError: no such model, a damaged one, or not its whole id.
    """
    from gbx_beamline.learning.store import ModelStore

    for proposal, name in models.frozen.items():
        try:
            found = ModelStore(models).find(name)
        except InputError as error:
            raise ConfigError(
                f"models.frozen.{proposal}: {error.found}", needed=error.needed, action=error.action
            ) from error
        if found.id != name:
            raise ConfigError(
                f"models.frozen.{proposal}: {name!r} is the beginning of {found.id}",
                needed="the whole id, which no later model can share",
                action="write it in full",
            )
