//! Catches panics of the state machine and its types, so that the member can say what happened.
//!
//! Where panics abort, as in WebAssembly, nothing is caught: the program ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;

/// Calls the state machine, or the serde code of its types.
///
/// # Errors
/// What it said when it panicked. What it was changing must not be used again.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message(&*panic))
}

/// Runs what calls the state machine now and then.
///
/// # Errors
/// As of [`caught`].
pub(crate) async fn caught_in<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn what_does_not_panic_comes_back() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(block_on(caught_in(async { 7 })), Ok(7));
    }

    #[test]
    fn a_panic_is_told_by_its_message() {
        let number = 2;

        let literal = caught(|| panic!("one too many"));
        let formatted = block_on(caught_in(async { panic!("{number} too many") }));
        let other = caught(|| std::panic::panic_any(number));

        let told = |message: &str| Err::<(), _>(message.to_owned());
        assert_eq!(literal, told("one too many"));
        assert_eq!(formatted, told("2 too many"));
        assert_eq!(other, told("without a word"));
    }
}
