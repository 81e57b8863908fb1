"""What the `__main__.py` of a compiled folder runs, so that plain `pulumi preview` works there."""

from __future__ import annotations


def main() -> None:
    """Declare the resources of the stack whose `spec` stands in its Pulumi configuration."""
    import pulumi

    from compiler.spec import StackSpec
    from stacks import cloud

    spec = StackSpec.from_data(pulumi.Config().require_object("spec"))
    cloud(spec.cloud).build(spec)
