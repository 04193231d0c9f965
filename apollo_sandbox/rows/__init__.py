"""Rows as Apollo shows them: one function per object, fed by the world and nothing else."""
