"""What a user may ask of a container: docker's words, and the values that they become."""
