"""The task's bytes on their way to stdout."""

from __future__ import annotations

import io
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from skywright.cli.output import Output


def written(ranks: int, *writes: tuple[int, bytes]) -> bytes:
    stream = io.BytesIO()
    output = Output(ranks, stream)
    for rank, data in writes:
        output.write(rank, 1, data)
    output.end()
    return stream.getvalue()


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_one_node_passes_every_byte(pieces: list[bytes]) -> None:
    assert written(1, *((0, piece) for piece in pieces)) == b"".join(pieces)


def test_several_nodes_get_their_rank_at_line_starts() -> None:
    assert written(2, (0, b"a\nb"), (1, b"x\n"), (0, b"c\n")) == b"[0] a\n[1] x\n[0] bc\n"


def test_a_carriage_return_stays_in_its_line() -> None:
    assert written(2, (0, b"10%\r20%\r"), (0, b"done\n")) == b"[0] 10%\r20%\rdone\n"
    assert written(2, (0, b"a\r"), (0, b"\nb\r\n")) == b"[0] a\r\n[0] b\r\n"


def test_another_rank_never_continues_a_line() -> None:
    assert written(2, (0, b"10%\r20%"), (1, b"x\n"), (0, b"\n")) == b"[0] 10%\r\n[1] x\n[0] 20%\n"


def test_a_last_line_without_newline_is_not_lost() -> None:
    assert written(2, (1, b"end")) == b"[1] end\n"


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.binary(max_size=12).map(lambda b: b.replace(b"\r", b""))), max_size=12
    )
)
def test_several_nodes_keep_every_line_of_every_rank(writes: list[tuple[int, bytes]]) -> None:
    lines = written(3, *writes).split(b"\n")
    for rank in range(3):
        sent = b"".join(data for r, data in writes if r == rank)
        prefix = b"[%d] " % rank
        got = [line[len(prefix) :] for line in lines if line.startswith(prefix)]
        expected = sent.split(b"\n")
        assert got == (expected[:-1] if expected[-1] == b"" else expected)


def test_a_new_attempt_begins_on_a_line_of_its_own() -> None:
    stream = io.BytesIO()
    output = Output(1, stream)
    output.write(0, 1, b"half")
    output.write(0, 2, b"again\n")
    assert stream.getvalue() == b"half\nagain\n"


def test_a_closing_line_begins_on_a_line_of_its_own() -> None:
    code = (
        "import sys; from skywright.cli.output import Output; o = Output(1); o.write(0, 1, b'no newline');"
        "o.end(); o.break_line(); o.break_line(); print('done', file=sys.stderr)"
    )
    together = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert together.stdout == b"no newline\ndone\n"
    apart = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (apart.stdout, apart.stderr) == (b"no newline", b"done\n")
