"""Reaching nodes: which command is run, entries for ssh's configuration, ports, and who is told what."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from compiler.problem import Problems
from skywright.cli import ssh
from skywright.cli.arguments import Values, parse
from skywright.cli.verbs import find

PROXIED = {
    "rank": 1,
    "node": "i-1",
    "address": "10.0.0.2",
    "access": {
        "shell": ["aws", "ssm", "--target", "i-1"],
        "forward": ["aws", "fwd", "port={port},local={local}"],
        "proxy": "aws ssm %h %p",
        "user": "ubuntu",
    },
}
POD = {
    "rank": 0,
    "node": "pod-0",
    "address": "10.1.0.1",
    "access": {
        "shell": ["kubectl", "exec", "pod-0", "--", "bash"],
        "forward": ["kubectl", "port-forward", "pod-0", "{local}:{port}"],
    },
}


class Fake:
    """A control that knows one deployment."""

    def deployments(self) -> list[dict[str, Any]]:
        return [{"name": "train", "project": "p"}]

    def access(self, name: str, ranks: list[int] | None = None) -> list[dict[str, Any]]:
        rows = [{**PROXIED, "rank": 0}, PROXIED]
        return rows if ranks is None else [{**PROXIED, "rank": rank} for rank in ranks]

    def endpoints(self, name: str) -> list[dict[str, Any]]:
        return [{"rank": 0, "port": "8000-8002", "address": "1.2.3.4", "public": True}]


@pytest.fixture(autouse=True)
def control(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    ran: list[list[str]] = []
    monkeypatch.setattr(ssh, "connect", Fake)
    monkeypatch.setattr(ssh, "call", lambda words: ran.append(list(words)) or 7)
    return ran


def values(*words: str) -> Values:
    verb = find(words[0])
    assert verb is not None
    return parse(verb, words[1:])


def test_a_shell_and_a_command(control: list[list[str]]) -> None:
    assert ssh.run(values("ssh", "train", "1")) == 7
    assert ssh.run(values("ssh", "train", "1", "--", "ls", "-la")) == 7
    assert control[0] == ["aws", "ssm", "--target", "i-1"]
    assert control[1] == [
        *("ssh", "-o", "ProxyCommand=aws ssm %h %p", "-o", "StrictHostKeyChecking=accept-new"),
        *("ubuntu@i-1", "ls -la"),
    ]


def test_where_there_is_no_ssh_the_shell_runs_it() -> None:
    assert ssh.command(POD, "ls | wc") == ["kubectl", "exec", "pod-0", "--", "bash", "-c", "ls | wc"]
    alone = {**POD, "access": {**POD["access"], "shell": ["console", "pod-0"]}}  # type: ignore[dict-item]
    with pytest.raises(Problems, match="runs no single command"):
        ssh.command(alone, "ls")


def test_a_cloud_that_runs_commands_itself_is_asked_to() -> None:
    run = ["gcloud", "ssh", "train-0", "--command", "{command}"]
    row = {**PROXIED, "access": {**PROXIED["access"], "user": None, "run": run}}  # type: ignore[dict-item]
    assert ssh.command(row, "ls | wc") == ["gcloud", "ssh", "train-0", "--command", "ls | wc"]
    assert "  User " not in ssh.entry("train", row), "no name of ours could log in there"


def test_entries_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert ssh.run(values("ssh", "--config")) == 0
    out = capsys.readouterr().out
    assert out.startswith("Host train train-0\n  HostName i-1\n  User ubuntu\n  ProxyCommand aws ssm %h %p\n")
    assert "\nHost train-1\n" in out


def test_forwarding_says_what_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert ssh.run(values("forward", "train", "8080", "22:2222", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one[-1] for one in told["commands"]] == ["port=8080,local=8080", "port=22,local=2222"]
    with pytest.raises(Problems, match="names no ports"):
        ssh.run(values("forward", "train", "http"))


def test_forwarding_runs_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    done = [
        sys.executable,
        "-c",
        "import sys; sys.exit(int(sys.argv[1]) - int(sys.argv[2]))",
        "{local}",
        "{port}",
    ]
    row = {**PROXIED, "access": {**PROXIED["access"], "forward": done}}  # type: ignore[dict-item]
    monkeypatch.setattr(Fake, "access", lambda self, name, ranks=None: [row])
    assert ssh.run(values("forward", "train", "80:83")) == 3
    absent = {**PROXIED, "access": {**PROXIED["access"], "forward": ["no-such-program-here"]}}  # type: ignore[dict-item]
    monkeypatch.setattr(Fake, "access", lambda self, name, ranks=None: [absent])
    with pytest.raises(Problems) as missing:
        ssh.run(values("forward", "train", "80"))
    assert missing.value.problems[0].code == "machine/no-such-program"


def test_endpoints_of_ports(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert ssh.run(values("endpoints", "train")) == 0
    assert "1.2.3.4" in capsys.readouterr().out
    assert ssh.run(values("endpoints", "train", "8001", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["endpoints"][0]["port"] == "8000-8002"
    with pytest.raises(Problems) as closed:
        ssh.run(values("endpoints", "train", "9"))
    assert closed.value.problems[0].code == "control/no-such-port"
