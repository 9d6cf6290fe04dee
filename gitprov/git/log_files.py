"""Lists the files of a log's tree, which may come from anybody."""

from gitprov.core.paths import show
from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.objects import ObjectReader

MAX_FILES = 1 << 20
"""A tree with more files than this is refused: that would be a log of 130 million records."""

_MAX_DEPTH = 8


def list_files(objects: ObjectReader, commit: str, ref: str) -> dict[bytes, str]:
    """Returns the git blob ids of a log's files by path.

    Raises:
        UnavailableError: the commit is missing.
        MalformedError: there are too many, or folders stand in several places.
    """
    found = objects.commit(commit)
    if found is None:
        raise UnavailableError(f"the log {ref} is not complete: {commit} is missing")
    files: dict[bytes, str] = {}
    folders: set[str] = set()
    todo = [(b"", found.tree)]
    while todo:
        folder, oid = todo.pop()
        # No two folders of a log are alike; a few that are would stand for billions of files.
        if oid in folders:
            raise MalformedError(f"the log {ref}: {show(folder)}: it is the same folder as another")
        folders.add(oid)
        for entry in objects.tree(oid):
            path = folder + entry.name
            if entry.is_tree and path.count(b"/") < _MAX_DEPTH:
                todo.append((path + b"/", entry.oid.hex()))
            else:
                files[path] = entry.oid.hex()
        if len(files) + len(folders) + len(todo) > MAX_FILES:
            raise MalformedError(f"the log {ref} has more than {MAX_FILES} files")
    return files
