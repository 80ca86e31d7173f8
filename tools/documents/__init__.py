"""Makes the documents that are made from the code. The service serves the committed files."""
