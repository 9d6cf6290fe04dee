"""The command line: parses, calls one op, renders."""
