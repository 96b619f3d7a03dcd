"""Use cases that keep the two stores in step and say what is broken: sweep, doctor."""
