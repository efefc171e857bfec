"""What was read, drawn and written for people and other programs."""
