"""The page on findings: a section a claim, each with its question, its picture from stored runs, and its badge."""
