"""What a catalog holds of a campaign, as parts that can be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gbx_beamline.catalog import Catalog, RecordSummary, find_inferences, find_records, load_inference, load_record
from gbx_beamline.catalog.campaigns import CampaignRun
from gbx_beamline.commissioning.findings import Part


def parts_of(catalog: Catalog, runs: Iterable[CampaignRun], settings_of: Callable[[str | None], str]) -> list[Part]:
    """The runs that were analysed, in their order.

    Args:
        catalog: Where the records are.
        runs: Of the campaign.
        settings_of: Hash of the settings of a sample: of several records of a run the one made with them counts, else
            the newest.
    """
    parts = []
    for run in runs:
        record = _record_of(catalog, run, settings_of)
        if record is not None:
            said = run.said
            parts.append(part_of(catalog, record.key, said["trial"], said["part"], said["expected"]))
    return parts


def part_of(catalog: Catalog, key: str, trial: str, name: str, told: Mapping[str, object]) -> Part:
    """One record as a part of a trial, with the newest answer of a model.

    Args:
        catalog: Where the record is.
        key: Of the record.
        trial: Name of the trial.
        name: Of the part.
        told: What is expected.
    """
    outcome = load_record(catalog, key)
    answers = find_inferences(catalog, record=key)
    return Part(
        trial=trial,
        name=name,
        run_uid=outcome.scan.run_uid,
        outcome=outcome,
        inference=load_inference(catalog, answers[-1].key) if answers else None,
        told=dict(told),
    )


def _record_of(catalog: Catalog, run: CampaignRun, settings_of: Callable[[str | None], str]) -> RecordSummary | None:
    records = find_records(catalog, run_uid=run.uid)
    wanted = settings_of(run.start.get("sample"))
    own = [one for one in records if one.metadata["provenance"].get("settings_hash") == wanted]
    return next(reversed(own or records), None)
