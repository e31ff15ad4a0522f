"""The iterative two-pass flow: groups of layers decomposed, restored, optimised, decomposed again, fine-tuned."""
