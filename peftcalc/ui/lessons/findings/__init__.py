"""What the page of findings teaches with: one lesson a claim."""
