"""Random lives of a project: edits, deletions, settings, runs and kills in any order, against a model of the end."""

import contextlib
import shutil

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SLOTS = {
    "mask": ("layers/human.mask", (".mkv", ".mov")),
    "tracks": ("layers/tracks", (".csv",)),
    "scene": ("layers/scene", (".mkv", ".mp4")),
    "code": ("identity/cat/code", (".npz",)),
    "result": ("out/cat", (".mkv", ".webm")),
}
VIDEOS = ("one two three four five six", "un deux trois quatre cinq sept", "a b c d e f")

ACTIONS = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from(sorted(SLOTS)), st.integers(0, 1)),
    st.tuples(st.just("delete"), st.sampled_from(sorted(SLOTS))),
    st.tuples(st.just("seed"), st.integers(0, 2)),
    st.tuples(st.just("video"), st.integers(0, 2)),
    st.tuples(st.just("hint"), st.integers(0, 2)),
    st.tuples(st.just("run")),
    st.tuples(st.just("kill"), st.integers(0, 150)),
)


class Life:
    """A project and the model of it: what the person did, and what has to follow from that."""

    def __init__(self, toy, killer, killed, root):
        self.toy, self.killer, self.killed, self.root = toy, killer, killed, root
        self.edits = {}
        self.words, self.number, self.help, self.count = VIDEOS[0], 0, "no hint", 0
        toy.make(root)

    def edit(self, slot, form):
        stem, suffixes = SLOTS[slot]
        path = self.edits[slot][0] if slot in self.edits else self.root / f"{stem}{suffixes[form % len(suffixes)]}"
        self.count += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"a b c d my {self.count:04d}")  # six words, as the check at the door wants of a mask
        self.edits[slot] = path, path.read_text()

    def delete(self, slot):
        stem, suffixes = SLOTS[slot]
        for suffix in suffixes:
            (self.root / f"{stem}{suffix}").unlink(missing_ok=True)
        self.edits.pop(slot, None)

    def seed(self, value):
        self.number = value
        self.toy.make(self.root).set_params({"scene": {"seed": value}})

    def video(self, idx):
        self.words = VIDEOS[idx]
        (self.root.parent / "dance.txt").write_text(self.words)

    def hint(self, idx):
        path = self.root / "identity/cat/hint.toml"
        self.help = f"hint {idx}" if idx else "no hint"
        if idx:
            path.write_text(self.help)
        else:
            path.unlink(missing_ok=True)

    def kill(self, alive):
        with contextlib.suppress(self.killed), self.killer(alive).watching(self.toy):
            self.run()

    def run(self):
        made = self.toy.make(self.root).run([self.toy.RESULT], identity="cat")
        return made[self.toy.RESULT].read_text()

    def want(self, slot):
        """What a slot must hold after a run that needed it."""
        if slot in self.edits:
            return self.edits[slot][1]
        if slot == "mask":
            return "".join(f"{word.upper()} " for word in self.words.split())
        if slot == "scene":
            return f"scene of {self.want('mask')} {self.number} {'yours' if 'mask' in self.edits else 'ours'}"
        if slot == "code":
            return f"code of a cat, {self.help}"
        return f"{self.want('scene')} + {self.want('code')}"

    def check(self):
        for path, text in self.edits.values():
            assert path.read_text() == text, f"{path} is the person's and was touched"


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=3, max_size=12))
def test_any_life_ends_well(toy, killer, killed, fast_path, actions):
    shutil.rmtree(fast_path / "life", ignore_errors=True)
    toy.hook[0] = lambda: None
    life = Life(toy, killer, killed, fast_path / "life" / "dance.mimo")
    for name, *values in [*actions, ("run",)]:
        result = getattr(life, name)(*values)
        life.check()
        if name == "run":
            assert result == life.want("result")
    toy.ran.clear()
    assert life.run() == life.want("result")
    assert toy.ran == []  # a run after a run finds nothing to do
