"""The command line: options by theme, and one file for a script that needs more than a few lines."""
