"""The networks that witness tree heads, behind one protocol."""
