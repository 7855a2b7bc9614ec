"""Reports: tables, figures, one self-contained HTML page, and a TensorBoard log directory."""
