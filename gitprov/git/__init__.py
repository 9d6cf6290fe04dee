"""Git: its executable, its objects, our notes and log in its refs, its hooks, its remotes."""
