"""skywright: what people and programs use. Importing this imports nothing heavy."""

__version__ = "0.1.0"
