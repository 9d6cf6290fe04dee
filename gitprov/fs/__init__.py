"""The door for programs that read data: `gitprov.open`, `gitprov.read`, and fsspec's `gitprov://`."""
