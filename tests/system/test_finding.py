"""Records are found by the words in them exactly as without, and a list ends where nothing is new."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tiled.client.container import Container

from gbx_beamline.catalog import Catalog, Listing, TiledSink, connect, find_record, find_records, list_entries
from gbx_beamline.catalog.listing import FIRST_LOOK, PAGE
from gbx_beamline.config import AnalysisConfig
from gbx_beamline.errors import InputError
from gbx_beamline.pipeline import failure, provenance
from gbx_beamline.records import ScanInfo
from gbx_tiled.embedded import CatalogAddress

SAMPLES = (
    "Si 100",
    "Si-100",
    "Si 1000",
    "si 100",
    "gold",
    "gold [rebinned]",
    'gold "A"',
    "a_b",
    "a b",
    "Größe",
    "§",
    " gold",
    "NOT gold",
    "gold*",
    "",
    "Cr/Fe (50:50)",
)
UIDS = tuple(f"{number:08x}-0000-4000-8000-{number:012x}" for number in range(len(SAMPLES)))


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress, tiled_root: Container) -> Iterator[Catalog]:
    """Failures, which cost one node each, in a place of their own."""
    tiled_root["processed"].create_container("finding")
    with contextlib.closing(
        connect(catalog_address.uri, catalog_address.api_key, processed="processed/finding")
    ) as opened:
        sink = TiledSink(opened)
        for uid, sample in zip(UIDS, SAMPLES, strict=True):
            scan = ScanInfo(run_uid=uid, sample=sample)
            error = InputError(f"gold in {sample}", needed="light", action="open")
            sink.publish(failure(scan, error, provenance(AnalysisConfig())))
        yield opened


def test_the_newest_records_are_the_last_that_the_catalog_got(catalog: Catalog) -> None:
    assert [one.run_uid for one in find_records(catalog, newest=3)] == list(UIDS[-3:])
    assert [one.run_uid for one in find_records(catalog, sample="gold", newest=5)] == [UIDS[SAMPLES.index("gold")]]


def test_words_find_what_is_found_without_them(catalog: Catalog) -> None:
    by_words = replace(catalog, words=True)
    for uid, sample in zip(UIDS, SAMPLES, strict=True):
        (plain,) = find_records(catalog, sample=sample)
        assert plain.run_uid == uid
        assert find_records(by_words, sample=sample) == [plain], sample
        assert find_records(by_words, run_uid=uid) == [plain]
        assert find_record(by_words, uid) == find_record(by_words, uid[:8]) == plain
    assert find_records(by_words, sample="nowhere") == []
    # Part of a word, and a word that others have too.
    assert find_records(by_words, sample="gol") == []


def test_a_list_comes_newest_first_and_a_look_ends_where_nothing_is_new(catalog: Catalog) -> None:
    pages = list(list_entries(catalog, Listing.RECORDS))
    assert [entry.facts["run"] for page in pages for entry in page] == list(reversed(UIDS))
    middle = pages[0][5].facts["created"]
    looked = [entry.facts["run"] for page in list_entries(catalog, Listing.RECORDS, since=middle) for entry in page]
    assert looked == list(reversed(UIDS))[:5]
    assert list(list_entries(catalog, Listing.RECORDS, since=time.time())) == []
    assert len(SAMPLES) < FIRST_LOOK < PAGE


def test_a_look_goes_on_while_pages_are_new(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbx_beamline.catalog.listing.FIRST_LOOK", 3)
    monkeypatch.setattr("gbx_beamline.catalog.listing.PAGE", 4)
    found = [entry.facts["run"] for page in list_entries(catalog, Listing.RECORDS, since=0.0) for entry in page]
    assert found == list(reversed(UIDS))
