"""Speed, as ratios: ours over a reference that is measured beside it in the same run. `python -m tests.bench` (or `make bench`)."""
