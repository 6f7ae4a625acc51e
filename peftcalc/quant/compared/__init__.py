"""The same numbers in several formats: what each loses, and what its pictures show; also of a stranger's file."""
