"""Data sets of arrays in a project's data/, as a KubeDataset opens them: arrays are read, data sets written whole."""
