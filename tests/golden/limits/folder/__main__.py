"""The Pulumi program of every stack in this folder: declares what the stack's `spec` says."""

from stacks.program import main

main()
