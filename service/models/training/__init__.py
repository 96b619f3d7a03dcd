"""Train a Keras model on prepared pictures: arrays in, a `.keras` file out. Knows nothing of rows, buckets or snapshots (`service.learning`).

plan       what was asked for
network    the architecture, for the child process alone
trainer    the child process
run        starts the child, follows it, stops it
"""
