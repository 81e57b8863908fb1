"""Declares the resources of one stack: called by our operations, and by the `__main__.py` of a compiled folder."""

from __future__ import annotations

from compiler.spec import Foundation, StackSpec


def declare(spec: StackSpec | Foundation) -> None:
    """The resources of a task's stack or of a foundation, in the running Pulumi program."""
    from stacks import cloud

    if isinstance(spec, Foundation):
        import pulumi

        made: list[pulumi.Resource] = []
        pulumi.runtime.register_stack_transformation(lambda each: made.append(each.resource))
        cloud(spec.cloud).foundation(spec)
        # Not before the last of it is there: this is how the next operation knows that it stands.
        there = pulumi.Output.all(*(each.urn for each in made))
        pulumi.export("foundation", there.apply(lambda _: spec.digest))
    else:
        cloud(spec.cloud).build(spec)


def main() -> None:
    """What stands in the Pulumi configuration of this stack: a `spec`, or a `foundation`."""
    import pulumi

    config = pulumi.Config()
    foundation = config.get_object("foundation")
    declare(
        Foundation.from_data(foundation) if foundation else StackSpec.from_data(config.require_object("spec"))
    )
