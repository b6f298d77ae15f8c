"""A whole facility on one machine, on the services that a real one has: what ``deploy/local-facility.sh`` starts.

PostgreSQL holds the catalog and Prefect's state, Redis carries the stream between two Tiled servers, Prefect workers
and a Dask cluster compute, and `gbx serve` looks after it all.
"""
