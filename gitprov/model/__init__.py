"""The formats of docs/formats.md as frozen values with strict parsers. No I/O."""
