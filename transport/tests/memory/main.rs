//! What the memory transport promises beyond the conformance kit, in virtual time.

mod ends;
mod faults;
mod members;
