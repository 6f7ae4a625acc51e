"""The parts of the page on memory: its controls, the answer in the first screen, and the sections below it."""
