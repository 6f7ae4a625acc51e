"""The classroom: who one is in it, where everybody is sent, the lesson, the board and the notes."""
