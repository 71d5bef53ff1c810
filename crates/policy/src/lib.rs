//! Decides what an identity may do; Cedar inside, no I/O but reading a bundle's files.
