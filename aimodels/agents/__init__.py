"""Agents of reinforcement learning, a file an algorithm; their environments are in their state."""
