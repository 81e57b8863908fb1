"""The always-on side: a small server, reconcilers over stored rows, and the client that people's commands use."""

VERSION = "0.1.0"
"""The product's version: a control of another version is replaced by the client that meets it."""
