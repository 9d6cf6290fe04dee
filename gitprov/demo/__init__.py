"""The whole story on real data, for people to watch: `gitprov demo`."""
