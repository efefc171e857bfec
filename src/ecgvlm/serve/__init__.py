"""The HTTP server: `create_app` makes the FastAPI application, `ecgvlm serve` runs it."""
