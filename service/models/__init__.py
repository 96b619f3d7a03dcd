"""Use cases on Keras models: vet a file, convert it, run it, record what it says.

TensorFlow and Keras are imported by child processes only (`vetting_child`); every other module here must stay importable
without them, because the web process and the worker keep these modules in memory. Models run on LiteRT (`runtime`).
"""
