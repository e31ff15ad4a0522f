"""Options of scripts that read calibration images."""
SCALE = ["--rgb-mean", "127", "--rgb-std", "64"]
BY_SENSITIVITY = ["--rank-selection", "sensitivity"]
