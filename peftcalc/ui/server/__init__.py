"""What the app's server does beside running pages: its first HTML, its warming, and how an answer to a move is sent."""
