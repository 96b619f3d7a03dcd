"""What Schemathesis is told of the API beyond its OpenAPI text: how values of our own formats look."""
