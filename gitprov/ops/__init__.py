"""One verb per file: (Workspace, arguments) -> dataclass; never prints, reads no environment."""
