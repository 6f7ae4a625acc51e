"""What pages share: state and links, method colours, live view, lessons."""
