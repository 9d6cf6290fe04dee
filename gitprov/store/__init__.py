"""The content store: the bytes of datasets and checkpoints, each blob named by its digest."""
