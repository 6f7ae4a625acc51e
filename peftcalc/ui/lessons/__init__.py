"""What pages teach, as data: presets, things to try and predictions, each with a claim that a test checks."""
