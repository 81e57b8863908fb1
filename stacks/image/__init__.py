"""What a node image is made of: the list, the recipe that makes it so, and the ways to run the recipe."""
