//! Gives pure code the maps and sets for what is small by a bound, which `platform` defines.

pub use liferaft_platform::{SortedMap, SortedSet};
