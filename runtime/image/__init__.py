"""What a node starts with before it has the agent: the boot stub, one file for each kind of store."""
