"""Our own Pulumi provider: local nodes, made and removed through the real engine."""
