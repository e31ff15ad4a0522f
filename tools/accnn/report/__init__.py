"""Tables of plans and of timings."""
