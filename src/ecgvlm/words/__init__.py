"""From evidence and a question to words."""
