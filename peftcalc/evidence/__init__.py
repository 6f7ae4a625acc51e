"""Published measurements of memory and accuracy, each with its source; how far our estimate is off."""
