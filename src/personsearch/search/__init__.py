"""Ask a model, or a gallery, where a person is."""
