"""Networks: symbol JSON read and written, shapes, layers described, layers replaced. Knows nothing of methods."""
