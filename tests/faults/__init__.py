"""Pixref is killed, cut off and lied to thousands of times, and must have lost nothing: docs/reliability.md."""
