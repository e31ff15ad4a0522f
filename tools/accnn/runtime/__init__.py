"""Running networks: devices, fusion by oneDNN, bound models, several workers."""
