"""Models made of pictures here: frozen sets of them, training on these, measuring by these.

Above `service.models`, which keeps and runs models wherever they come from.
"""
