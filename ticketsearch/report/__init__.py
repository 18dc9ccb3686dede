"""Reports: finished runs as text for a terminal, Markdown, or a picture. Computes nothing of its own."""
