//! Values in, values out: mask functions for text and binary formats and COPY rows.
