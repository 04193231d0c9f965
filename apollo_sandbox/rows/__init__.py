"""Rows as Apollo shows them: one function per object, fed by the world and nothing else.

What Apollo sends the same in every row of a kind stands in a table above its function.
"""
