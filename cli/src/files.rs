//! Raises the number of files that this process may have open, and divides it.
//!
//! A connection is an open file too. Where connections may take all of them, anybody who dials stops a member: its
//! storage cannot create the next file.

/// The number of files that macOS lets a process have open where no limit is set.
#[cfg(unix)]
const WITHOUT_LIMIT: u64 = 10_240;

/// Raises the number of files that this process may have open to the most that the system allows. Returns it.
#[cfg(unix)]
pub(crate) fn raise_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let hard = before.maximum.unwrap_or(u64::MAX);
    for wanted in [before.maximum, Some(hard.min(WITHOUT_LIMIT))] {
        let is_more = before
            .current
            .is_some_and(|current| wanted.is_none_or(|wanted| wanted > current));
        let mut raised = before;
        raised.current = wanted;
        if is_more && setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted.unwrap_or(u64::MAX);
        }
    }
    before.current.unwrap_or(u64::MAX)
}

/// Returns that there is no limit.
#[cfg(not(unix))]
pub(crate) fn raise_limit() -> u64 {
    u64::MAX
}

/// Returns the most connections, of those that are wanted, that others may hold open: at most half of the files. The
/// other half is for the storage, for monitors, and for the connections that this process dials.
pub(crate) fn accepted_max(files: u64, wanted: usize) -> usize {
    wanted.min(usize::try_from(files / 2).unwrap_or(usize::MAX))
}

/// Returns the most connections, of those that are wanted, that this process may dial: at most a quarter of the files.
pub(crate) fn dialed_max(files: u64, wanted: usize) -> usize {
    wanted.min(usize::try_from(files / 4).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_of_the_files() {
        assert_eq!(
            (accepted_max(1_024, 1_024), dialed_max(1_024, 1_024)),
            (512, 256)
        );
        assert_eq!(
            (accepted_max(u64::MAX, 1_024), dialed_max(u64::MAX, 1_024)),
            (1_024, 1_024)
        );
    }

    #[test]
    #[cfg(unix)]
    fn the_limit_is_raised_to_what_the_system_allows() {
        use rustix::process::{Resource, getrlimit};

        let raised = raise_limit();

        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raised, limit.current.unwrap_or(u64::MAX));
        let hard = limit.maximum.unwrap_or(u64::MAX);
        assert!(raised >= hard.min(WITHOUT_LIMIT), "{raised} of {hard}");
    }
}
