"""What Pixref does: use cases on pictures, models and data sets, and the web, command-line and worker edges around them.

Imports point down: edges -> use cases -> png, errors -> storage, schema. `lint-imports` holds the line.
"""
