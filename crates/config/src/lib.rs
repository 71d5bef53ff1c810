//! The configuration file: what may be written in it, and errors that say how to mend it.
