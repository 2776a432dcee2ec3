"""What tests share: base images, a registry, the command line in a store of its own."""
