"""Folders of images become RecordIO files: found, labelled, encoded, written whole with a list of what they hold."""
