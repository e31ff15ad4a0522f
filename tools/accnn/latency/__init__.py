"""Milliseconds as a cost: what was measured, kept between runs."""
