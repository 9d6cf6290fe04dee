"""What dead writers leave is cleared, what living ones have is not."""

import subprocess
import sys
from pathlib import Path

from gitprov.store.layout import Layout
from gitprov.store.local import LocalStore
from gitprov.store.sessions import Session, clear_dead
from tests.unit.store.support import put


def leftovers(layout: Layout) -> list[str]:
    return sorted(path.name for path in Path(layout.tmp).iterdir())


def layout_in(folder: Path) -> Layout:
    layout = Layout(str(folder / "store"))
    layout.create()
    return layout


def test_a_session_cleans_up_after_itself(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    session = Session(layout)
    Path(session.new_path()).write_bytes(b"half")
    assert len(leftovers(layout)) == 2
    session.close()
    assert leftovers(layout) == []


def test_a_living_session_is_left_alone(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    session = Session(layout)
    path = Path(session.new_path())
    path.write_bytes(b"half")
    assert clear_dead(layout) == 0
    assert path.exists()
    session.close()


def test_what_a_dead_process_left_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    script = (
        "import os, sys\n"
        "from gitprov.store.layout import Layout\n"
        "from gitprov.store.sessions import Session\n"
        "path = Session(Layout(sys.argv[1])).new_path()\n"
        "open(path, 'wb').write(b'half')\n"
        "os._exit(9)\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script, layout.root], cwd=root, check=False)
    assert len(leftovers(layout)) == 2
    with LocalStore(layout.root) as store:
        put(store, b"next")
    assert leftovers(layout) == []


def test_a_session_that_was_left_is_finished_by_the_next_writer(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    session = Session(layout)
    Path(session.new_path()).write_bytes(b"half")
    session.leave()
    assert len(leftovers(layout)) == 1
    assert clear_dead(layout) == 1
    assert leftovers(layout) == []


def test_a_folder_without_its_lock_is_removed(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    Path(layout.tmp, "1-00").mkdir()
    clear_dead(layout)
    assert leftovers(layout) == []
