"""The files that users see: scanning them, remembering what was read, writing them back."""
