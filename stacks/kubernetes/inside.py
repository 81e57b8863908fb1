"""Runs a few lines of Python in a pod, with the interpreter that the agent brought, through the API server."""

from __future__ import annotations

from compiler.problem import Problem, Problems
from stacks.kubernetes import api

PYTHON = "/var/lib/skywright/python/bin/python3"


def run(node: api.Node, script: str) -> str:
    """What the script prints. Raises Problems cloud/no-such-node, cloud/credentials, cloud/no-answer."""
    from kubernetes import client, config
    from kubernetes.client import ApiException
    from kubernetes.stream import stream

    with api.speaking(node.context):
        settings = client.Configuration()
        config.load_kube_config(
            api.files(), context=node.context, client_configuration=settings, persist_config=False
        )
        core = client.CoreV1Api(client.ApiClient(settings))
        try:
            said: str = stream(
                core.connect_get_namespaced_pod_exec,
                node.pod,
                node.namespace,
                container="task",
                command=[PYTHON, "-c", script],
                stdout=True,
                stderr=True,
                stdin=False,
                tty=False,
                _request_timeout=api.TIMEOUT_S[1],
            )
        except ApiException as error:
            if error.status == 404:
                says = f"no pod {node} is running"
                raise Problems(
                    Problem("cloud/no-such-node", says, hint="`invoke status` lists nodes")
                ) from None
            raise Problems(api.refusal(node.context, error.status or 0, str(error.reason).encode())) from None
    return said
