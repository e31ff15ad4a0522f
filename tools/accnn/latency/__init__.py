"""Milliseconds as a cost: chains timed, a latency cache between runs, a latency model for the planner to ask."""
