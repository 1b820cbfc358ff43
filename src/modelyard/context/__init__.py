"""The build context: a directory with what a build needs, staged from model directories, free for the user to edit."""
