"""Light built-in plugins: samplers, selectors, scorers, exporters."""
