//! Catches panics of what users write, so that a member can tell what happened.
//!
//! Where panics abort, as in WebAssembly, nothing is caught: the program ends. Without the feature `std` nothing is
//! caught either.

use alloc::string::String;
#[cfg(feature = "std")]
use std::any::Any;
#[cfg(feature = "std")]
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "std")]
use futures::FutureExt;

/// Calls a function that may panic.
///
/// # Errors
/// The message of its panic. What the function was changing must not be used again.
#[cfg(feature = "std")]
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message(&*panic))
}

/// Calls a function. Without `std`, no panic is caught.
///
/// # Errors
/// None.
#[cfg(not(feature = "std"))]
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    Ok(call())
}

/// Runs a future that may panic.
///
/// # Errors
/// As of [`caught`].
#[cfg(feature = "std")]
pub async fn caught_in<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|panic| message(&*panic))
}

#[cfg(feature = "std")]
fn message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("without a word").to_owned()
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_panic_comes_back() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught_in(async { 7 }).now_or_never(), Some(Ok(7)));
    }

    #[test]
    fn a_panic_is_told_by_its_message() {
        let number = 2;

        let literal = caught(|| panic!("one too many"));
        let formatted = caught_in(async { panic!("{number} too many") }).now_or_never();
        let other = caught(|| std::panic::panic_any(number));

        let told = |message: &str| Err::<(), _>(message.to_owned());
        assert_eq!(literal, told("one too many"));
        assert_eq!(formatted, Some(told("2 too many")));
        assert_eq!(other, told("without a word"));
    }
}
