"""The web edge: parses a request, calls one use case, renders the answer. HTTP lives here and nowhere below."""
