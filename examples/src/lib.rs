//! Programs worth reading, each in `examples/`; nothing else is here.
