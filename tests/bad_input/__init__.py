"""Input, files and machines that are not as they should be: a clear error, and nothing lost."""
