"""When to wait, to use spot or to pay for on-demand: pure policies for work that has a deadline (docs/spot.md)."""
