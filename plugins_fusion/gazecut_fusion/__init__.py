"""Built-in fusion strategies."""
