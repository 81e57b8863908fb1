"""The README of an ejected project: how it is used, what is in it, and what skywright did that it does not."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from compiler.spec import StackSpec


def readme(spec: StackSpec, backend: str, resources: Sequence[str], files: Collection[str]) -> str:
    """`backend` are the lines of a shell that say where the state is."""
    listed = "\n".join(f"- `{name}`" for name in sorted(files))
    beside = f"\nTexts that are too long for a program lie beside it:\n\n{listed}\n" if files else ""
    return f"""# {spec.deployment}

{_about(spec, len(resources))}

## Use

```sh
{backend}
python3 -m venv venv && venv/bin/pip install -r requirements.txt
pulumi preview --stack {spec.stack}     # no changes
```

Credentials of the cloud are those of your shell, as before. `pulumi destroy` removes what is listed in the program.
{beside}
## What changes

{_changes(spec)}
"""


def _about(spec: StackSpec, resources: int) -> str:
    return f"""The Pulumi program of the stack `{spec.stack}` in project `{spec.project}`: {resources} resources, each
written out. It needs Pulumi and the packages in `requirements.txt`, nothing else. It takes over the stack where it
stands: the state stays where it is, and nothing is made again."""


def _changes(spec: StackSpec) -> str:
    return f"""- What was looked up stands here as it was found: ids of networks, subnets, images.{_shared(spec)}
- Nodes still start skywright's agent. It works only while skywright's control speaks to it: when control has
  been silent for longer than its limit, a node ends itself. What a node starts with is in `files/`.
- {_lost(spec)}
- Values of secrets never were in Pulumi, and still are not: they lie in the cloud's own store.
- One owner only: `skywright eject {spec.deployment} DIR --release` has skywright forget the deployment."""


def _shared(spec: StackSpec) -> str:
    if spec.foundation is None:
        return ""
    return (
        f"\n- The network `{spec.network}` is shared with other deployments, and so is the stack"
        f" `{spec.foundation.stack}` that it belongs to."
    )


def _lost(spec: StackSpec) -> str:
    if spec.cloud == "kubernetes":
        return (
            "A lost pod is made again by its Job, as before; whether work goes on after it is yours to say."
        )
    return (
        "A lost node is not made again by itself any more. `pulumi up` makes it again after `pulumi refresh`."
    )
