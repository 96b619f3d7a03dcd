"""Long work as rows: asking for it, claiming it, doing it with a heartbeat, cancelling it. What there is to do stands elsewhere (`service.tasks`)."""
