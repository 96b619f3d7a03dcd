"""Use cases in bulk: reading data sets, importing and exporting many pictures at once.

Readers of file formats here are pure (a path in, arrays out); what stores pictures takes its sessions and stores as arguments.
"""
