"""Motion: from files and from video to a posed body in the joint language of the project."""
