"""Steps from one schema of the control store to the next, for alembic: `step_NNNN.py` is revision NNNN.

A step that was released is never changed. Whoever adds a column or a table writes it into rows.py (an index into
tables.py) and adds the next step here; a test compares the two on both databases. A column of a row that exists
already needs a default: `op.add_column("runs", Column("tries", BigInteger, nullable=False, server_default="0"))`.
"""
