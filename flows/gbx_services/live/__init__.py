"""Live analysis: scans are followed while they run, and what is known so far is a record in the catalog."""
