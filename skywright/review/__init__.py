"""Previews as people, pull requests and programs read them: what changes, what it costs, and the comment saying so."""
