"""Reports that people look at: figures in, one self-contained HTML page out."""
