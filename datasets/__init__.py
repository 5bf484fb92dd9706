"""Readers: a folder of files -> courses, learners and events, one module a layout. Pure: files in, values out."""
