"""Milliseconds: callables timed in turns, layers cut out of networks, networks compared in a process of their own."""
