"""Everything that is asked of gitprov."""
