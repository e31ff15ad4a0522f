"""RecordIO files of images: looked through before anything runs, read with MXNet's own iterator."""
