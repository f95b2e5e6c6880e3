"""Any damage to a good file: bytes set, cut off, dropped, doubled, replaced by words that parsers stumble over."""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from engine.errors import MimoError

_TEXTS = (
    'nan -inf 1e999 -1 0 99999999999999999999 0.5 true null \'\' "" [] {} [[[ \0 , ; " = # ] } ../../x %s /dev/zero'
)
WORDS = (*_TEXTS.encode().split(b" "), b"\n", b" ", b"\xc3\xa9", b"\xff\xfe", b"\x80", b"\xed\xa0\x80")
"""The last are no UTF-8."""

_PLACE = st.integers(0, 1 << 20)
DAMAGE = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _PLACE, st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("put"), _PLACE, st.sampled_from(WORDS)),
        st.tuples(st.just("over"), _PLACE, st.sampled_from(WORDS)),
        st.tuples(st.just("drop"), _PLACE, st.integers(1, 64)),
        st.tuples(st.just("twice"), _PLACE, st.integers(1, 400)),
        st.tuples(st.just("cut"), _PLACE, st.none()),
    ),
    min_size=1,
    max_size=4,
)
"""What is done to a file, in order."""

any_damage = settings(
    max_examples=int(os.environ.get("MIMO_FUZZ", "12")),
    derandomize="MIMO_FUZZ" not in os.environ,  # the same every time, but for a long hunt: MIMO_FUZZ=5000 pytest ...
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def damaged(raw: bytes, changes: list[tuple]) -> bytes:
    """Return a file's bytes after all changes."""
    for kind, place, what in changes:
        at = place % max(len(raw), 1)
        if kind == "set":
            raw = raw[:at] + what + raw[at + len(what) :]
        elif kind == "put":
            raw = raw[:at] + what + raw[at:]
        elif kind == "over":  # a whole word gives way, where there are words
            end = next((i for i in range(at, min(at + 40, len(raw))) if raw[i : i + 1] in b" ,\n\t=]}"), at + 1)
            raw = raw[:at] + what + raw[end:]
        elif kind == "drop":
            raw = raw[:at] + raw[at + what :]
        elif kind == "twice":
            raw = raw[:at] + raw[at : at + what] + raw[at:]
        else:
            raw = raw[:at]
    return raw


def assert_read_or_refused(read: Callable[[], object]) -> None:
    """It is read, or refused in a sentence and something to do; nothing else may be raised."""
    try:
        read()
    except MimoError as error:
        assert len(error.what.split()) >= 3 and error.what.rstrip().endswith((".", "!", "?", ":")), error.what
        assert error.fix
