"""Builds stacks under Pulumi's mocks, in a process of its own: a spec per line in, what was declared per line out."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def serve() -> None:
    """Read `{"spec", "answers", "outputs"}` until stdin ends; write what was made and exported, or the problem.

    `answers` are those of look-ups by token; `outputs` is what the cloud adds to every resource of a type, where
    `{name}` stands for the resource's.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an SDK prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        found = answer(asked["spec"], asked["answers"], asked["outputs"])
        # Assets, by the name of their kind: what is in them is somebody else's test.
        out.write(json.dumps(found, default=lambda value: type(value).__name__) + "\n")
        out.flush()


def answer(data: dict[str, Any], answers: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    from compiler.problem import Problems

    try:
        return build(data, answers, outputs)
    except Problems as problems:
        return {"problem": problems.problems[0].to_data()}
    except Exception:
        return {"problem": {"code": "broken", "message": traceback.format_exc()[-3000:]}}


def build(data: dict[str, Any], answers: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    import pulumi

    from compiler.spec import Foundation, StackSpec
    from stacks import program

    spec = (StackSpec if "deployment" in data else Foundation).from_data(data)
    made: list[dict[str, Any]] = []
    exported: dict[str, Any] = {}

    class Mocks(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
            made.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
            more = {
                name: value.format(name=args.name) if isinstance(value, str) else value
                for name, value in outputs.get(args.typ, {}).items()
            }
            return f"id-of-{args.name}", {**args.inputs, **more}

        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[Any, Any]:
            assert args.token in answers, f"a look-up that the sample does not answer: {args.token}"
            return {**args.args, **answers[args.token]}

    pulumi.runtime.set_mocks(Mocks(), project=spec.project, stack=spec.stack, preview=False)
    really, pulumi.export = pulumi.export, exported.__setitem__
    try:

        @pulumi.runtime.test
        def run() -> Any:
            program.declare(spec)
            return pulumi.Output.from_input(exported).apply(exported.update)

        run()
    finally:
        pulumi.export = really
    made.sort(key=lambda one: (one["type"], one["name"]))
    return {"made": made, "exported": exported}


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])
    serve()
