"""Sequences made by a rule, on which papers ask what a network can remember or work out."""
