"""Faust: events in, histories and lists out."""
