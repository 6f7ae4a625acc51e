"""What pages share: state and links, the live view, lessons, and the sections of the longer pages."""
