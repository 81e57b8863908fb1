"""ROWS: the faults that the suite injects, in words: how each one is injected, and what holds all the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. Tests join it by `@pytest.mark.fault(NAME)`; what stands under `holds` is what they assert."""

    name: str
    how: str
    holds: str


ROWS: tuple[Row, ...] = (
    Row(
        "agent killed",
        "kill -9 in a loop, at moments of a start, and while its job ends; over every carrier",
        "the same job goes on, started once; each log byte arrives once",
    ),
    Row(
        "shim killed",
        "kill -9 of a part's own process, with and without its agent",
        "the run fails and says so, or is unknown; nothing of it goes on, nothing is run again",
    ),
    Row(
        "control killed",
        "kill -9 of the process, around calls of the engine, and at writes of its store",
        "the next one goes on: no node twice, no task started twice, no orphan, no byte lost",
    ),
    Row(
        "operation killed",
        "kill -9 of operation, engine and provider around their calls, and of a lease's holder at its steps",
        "the same request ends in what was wished; state and inventory are equal, no lock stays",
    ),
    Row(
        "PostgreSQL killed",
        "kill -9 of the server with all its sessions while it carries leases, then a start on the same files",
        "the holder keeps the lease, nobody else gets it, tokens only grow",
    ),
    Row(
        "node lost",
        "the node and all its processes are taken away without a word",
        "noticed by silence, confirmed by the cloud; exactly that rank is made again and resumes",
    ),
    Row(
        "spot notice",
        "the metadata endpoint announces it; then it comes, late or early, or the job does not listen",
        "the job gets its time to save, what it wrote is uploaded, the node is replaced once",
    ),
    Row(
        "gang loses a rank",
        "one rank fails, or dies because its peer is gone",
        "the first one is named, the others are stopped; a loss is not counted as a failure",
    ),
    Row(
        "no capacity",
        "places refuse at the first node or half way, also when lost nodes are wanted back",
        "the next approved place is taken, nothing stays in the one before, nothing is tried beyond",
    ),
    Row(
        "partition",
        "packets to control, from it, or both ways are lost, once and flapping; node and control in two networks",
        "the job runs on, the log catches up byte by byte, a replaced node is stopped when it is heard again",
    ),
    Row(
        "slow network",
        "a proxy delays, narrows, and breaks connections off after some bytes",
        "each event and each log byte arrives once; the agent's memory stays flat",
    ),
    Row(
        "refused calls",
        "429, 500, 503, dropped and unanswered calls, an answer from a dead control, nonsense, another port",
        "calls are repeated with pauses, nothing counts twice, nonsense breaks nothing",
    ),
    Row(
        "repeated and reordered messages",
        "any order of events, log bytes and wishes, doubled, late, from old attempts and fenced nodes; restarts",
        "each event counts once, phases only go forward, logs are the node's bytes, a fence is for ever",
    ),
    Row(
        "disk full",
        "small file systems under agent, control, node and engine",
        "control and agent live, bytes that are dropped are counted, what is blocked goes on by itself",
    ),
    Row(
        "clock jump",
        "the clock of agent, store or lease is moved by hours, forwards and back",
        "no lease ends, the dead man does not act, the order of events is their number",
    ),
    Row(
        "log flood",
        "50 MB (1 GB with --faults) of numbers, and of 200 kB lines, carriage returns, NUL, invalid UTF-8",
        "byte for byte what the job wrote; sent bytes are freed, the agent's memory grows by at most 16 MB",
    ),
    Row(
        "processes left behind",
        "double fork, setsid, a kept pipe, zombies, a job that does not listen; with and without control groups",
        "the run ends when its script does, and soon nothing of it is left",
    ),
    Row(
        "fork bomb",
        "a job that forks without end",
        "the agent reports on and obeys; a cancel ends every process of the job",
    ),
    Row(
        "out of memory",
        "a job eats more than its control group may have",
        "the run says out of memory, with the most that it held",
    ),
    Row(
        "oversized environment",
        "variables beyond what the kernel hands to a program",
        "refused before the launch by name and size",
    ),
    Row(
        "hostile task file",
        "every kind of wrong, deep, huge and repeated YAML; archives that reach outside",
        "one Problem with its place; nothing is written outside",
    ),
    Row(
        "reboot",
        "the journal is one of another boot",
        "the run is unknown and never started again by the node",
    ),
    Row(
        "control asleep",
        "control is stopped (SIGSTOP) or away, for less and for more than the dead-man time; a lease's holder slept",
        "for less, nothing happens; for more, the node saves and ends, one other goes on from there; no orphan",
    ),
)

NAMES = frozenset(row.name for row in ROWS)
