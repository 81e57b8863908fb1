"""Previews as people, pull requests and programs read them: what changes in any number of stacks, and what it costs."""
