"""A store against a dictionary, through any order of adding, damaging, collecting and checking."""

import shutil
import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gitprov.errors import VerificationError
from gitprov.store.base import LARGE
from gitprov.store.local import LocalStore

BLOBS = [b"", b"a", b"b" * 5000, *(bytes([n]) * 300 for n in range(6)), b"c" * LARGE, b"d" * LARGE]
DIGESTS = [blake3(blob).digest() for blob in BLOBS]
some_blobs = st.sets(st.integers(0, len(BLOBS) - 1))


class StoreMachine(RuleBasedStateMachine):
    """The dictionary is what the store must hand out, no more and no less."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="gitprov-store-")
        self.store = LocalStore(str(Path(self.folder, "store")))
        self.model: dict[bytes, bytes] = {}

    @rule(chosen=some_blobs)
    def add(self, chosen: set[int]) -> None:
        with self.store.writer() as writer:
            for number in chosen:
                self.model[writer.add(BLOBS[number])] = BLOBS[number]

    @rule(chosen=some_blobs)
    def add_and_fail(self, chosen: set[int]) -> None:
        try:
            with self.store.writer() as writer:
                for number in chosen:
                    writer.add(BLOBS[number])
                raise InterruptedError
        except InterruptedError:
            pass

    @rule(chosen=some_blobs, dry_run=st.booleans())
    def collect(self, chosen: set[int], dry_run: bool) -> None:
        keep = {DIGESTS[number] for number in chosen}
        collected = self.store.collect(lambda: keep, dry_run=dry_run)
        assert collected.kept == len(self.model.keys() & keep)
        assert collected.removed == len(self.model.keys() - keep)
        if not dry_run:
            self.model = {digest: blob for digest, blob in self.model.items() if digest in keep}

    @precondition(lambda self: any(len(blob) > 1000 for blob in self.model.values()))
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        digest = data.draw(
            st.sampled_from(sorted(d for d, blob in self.model.items() if len(blob) > 1000))
        )
        for path in [*Path(self.folder).glob("store/packs/*"), *self._object(digest)]:
            content = path.read_bytes()
            path.chmod(0o644)
            path.write_bytes(content.replace(self.model[digest], self.model[digest][:-1] + b"!"))
        with pytest.raises(VerificationError, match=digest.hex()):
            self.store.read(digest)
        del self.model[digest]

    def _object(self, digest: bytes) -> list[Path]:
        path = self.store.path_of(digest, verify=False)
        return [Path(path)] if path is not None else []

    @precondition(lambda self: self.model)
    @rule()
    def lose_the_index(self) -> None:
        self.store.close()
        for path in Path(self.folder).glob("store/index.db*"):
            path.unlink()
        self.store.rebuild_index()
        # What was collected but still lies in a pack that is mostly live is back: that is harmless.
        self.collect_to_model()

    def collect_to_model(self) -> None:
        self.store.collect(lambda: set(self.model), dry_run=False)

    @rule()
    def reopen(self) -> None:
        self.store.close()

    @invariant()
    def the_store_has_what_the_model_has(self) -> None:
        assert self.store.has(DIGESTS) == self.model.keys()
        assert dict(self.store.read_many(self.model)) == self.model

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert list(self.store.verify_all()) == []

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestStoreMachine = StoreMachine.TestCase
