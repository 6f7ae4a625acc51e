"""The tasks on which the methods are compared: real, offline, each with a visible before and after."""
