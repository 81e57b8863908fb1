"""Reaches into pods through the API server: a few lines of Python, and the objects that a node and control exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compiler.problem import Problem, Problems
from stacks.kubernetes import api
from stacks.kubernetes.objects import BOOT, MAILBOX, OURS
from stacks.kubernetes.pod import PYTHON

WRITTEN = 32 * 1024
"""Bytes in one message: what proxies on the way take."""
PATIENCE_S = 60.0
INTERPRETER = f"{PYTHON}/bin/python3"


def run(node: api.Node, command: Sequence[str], told: str = "", file: str | None = None) -> str | None:
    """What a command in the task's container prints after it has read `told`; None when there is no such pod.

    `file` is another kubeconfig than the environment names. Raises Problems cloud/credentials, cloud/no-answer.
    """
    from kubernetes import client, config
    from kubernetes.client import ApiException
    from kubernetes.stream import stream

    with api.speaking(node.context):
        settings = client.Configuration()
        if node.context == api.HERE and not api.configured():
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(
                file or api.files(),
                context=node.context,
                client_configuration=settings,
                persist_config=False,
            )
        core = client.CoreV1Api(client.ApiClient(settings))
        try:
            there: Any = stream(
                core.connect_get_namespaced_pod_exec,
                node.pod,
                node.namespace,
                container="task",
                command=list(command),
                stdin=True,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
                _request_timeout=PATIENCE_S,
            )
        except ApiException as error:
            if "404" in str(error.reason) or "not found" in str(error.reason).lower():
                return None
            status = 403 if "403" in str(error.reason) else 500
            raise Problems(api.refusal(node.context, status, b"{}", str(error.reason))) from None
        return _spoken(node, there, told)


def _spoken(node: api.Node, there: Any, told: str) -> str:
    """Write `told`, and collect what comes until the command ends."""
    out: list[str] = []
    errors: list[str] = []
    try:
        for at in range(0, len(told), WRITTEN):
            there.write_stdin(told[at : at + WRITTEN])
        while there.is_open():
            there.update(timeout=1)
            if there.peek_stdout():
                out.append(there.read_stdout())
            if there.peek_stderr():
                errors.append(there.read_stderr())
        code = there.returncode
    finally:
        there.close()
        there.sock.shutdown()  # a connection that the other side has closed stays open else
    if code:
        says = " ".join("".join(errors).split())[-300:] or f"exit code {code}"
        raise Problems(Problem("cloud/no-answer", f"{node}: {says}", hint="is its image without `sh`?"))
    return "".join(out)


class Mailboxes:
    """The folders of objects in the pods of one Job. `command` answers one question in a pod."""

    command = (INTERPRETER, "-I", "-S", "-E", f"{BOOT}/pod.py", "objects", MAILBOX)

    def __init__(self, context: str, namespace: str, job: str, file: str | None) -> None:
        self.context, self.namespace, self.job, self.file = context, namespace, job, file

    def ask(self, pod: str, told: str) -> str | None:
        return run(api.Node(pod, self.namespace, self.context), self.command, told, self.file)

    def pods(self) -> list[str]:
        """Names of those that run."""
        with api.cluster(self.context, self.namespace, self.file) as cluster:
            found = cluster.list("pods", f"{OURS}/deployment={self.job}")
        return [one["metadata"]["name"] for one in found if one["status"].get("phase") == "Running"]
