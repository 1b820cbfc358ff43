"""Static checks of model directories: what their files say and point at, without running any of it."""
