"""The dense engine: PyTorch, any network, any device."""
