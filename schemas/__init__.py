"""What crosses a process boundary: events, topics, Redis keys and values, HTTP bodies, bundles, errors."""
