"""What every package needs: errors, files, text, progress, registries, versions."""
