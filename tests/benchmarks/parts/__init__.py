"""What several benchmarks share, and the parts of long ones: none of these files is a script."""
