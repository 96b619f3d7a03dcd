"""Statements that more than one use case needs: plain functions that take the caller's session and leave its transaction alone."""
