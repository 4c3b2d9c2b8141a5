//! Names the promise that a check finds broken.

use std::future::Future;

use liferaft_platform::caught_in;

/// Makes a check.
///
/// # Panics
/// When the check does, with the name of the promise before what the check says.
pub(crate) async fn is_kept(promise: &str, check: impl Future<Output = ()>) {
    if let Err(broken) = caught_in(check).await {
        panic!("{promise}: {broken}");
    }
}

/// Makes checks by their names, each on a blank disk of its own.
macro_rules! each_is_kept {
    ($blank:ident; $($promise:ident)*) => {$(
        $crate::storage::conformance::promise::is_kept(
            stringify!($promise),
            $promise($blank().await),
        )
        .await;
    )*};
}

pub(crate) use each_is_kept;

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use liferaft_platform::caught;

    use super::*;

    #[test]
    fn a_broken_promise_is_told_by_its_name() {
        let check = async { panic!("2 entries are left") };

        let told = caught(|| block_on(is_kept("a_log_is_cut", check)));

        assert_eq!(told, Err("a_log_is_cut: 2 entries are left".to_owned()));
    }
}
