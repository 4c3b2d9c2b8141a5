//! In browsers: nothing. There is no socket to listen on, and no certificate to keep.
