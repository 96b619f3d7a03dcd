"""Use cases on Keras models: vet a file, convert it, run it, record what it says.

TensorFlow and Keras are imported by child processes only (`vetting_child`, `keras_child`); every other module here must stay importable
without them, because the web process and the worker keep these modules in memory. Models run on LiteRT (`runtime`), or, where that
cannot run them, in a process with Keras (`keras_process`).
"""
