"""The way out: a stack as a plain Pulumi project, made from what its program registers."""

from __future__ import annotations
