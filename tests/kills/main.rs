//! A member is killed under load, again and again, and each time all that it acknowledged is there: once, and in order.
//! So is all that was stored in its outbox, which it sends after the restart.
//!
//! The member is a process of its own, this program run as `child DIR`, the only one of its cluster: processes cannot
//! reach each other yet, as there is only a transport in memory. It is killed by SIGKILL at random moments, counted in
//! what it has told. What the system has in memory and has not written survives that. It is lost where the power fails:
//! on a file layer, by the tests of the storage, and on file systems, by `cargo xtask power-loss`, which runs this
//! program too.
//!
//! `--full-disk MOUNT` tells another story instead, of a file system that another file fills: `cargo xtask full-disk`.
//!
//! `--cycles N`, `--seed N` and `--folder DIR` say how often, repeat a run's moments, and choose a disk.

mod book;
mod child;
mod crash;
mod full_disk;
mod rounds;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::{env, fs, process};

use crash::Crash;
use rounds::Rounds;

/// What `cargo test NAME` must be a part of, or it is another test that is wanted.
const NAME: &str = "what_was_acknowledged_survives_kills";

const CYCLES: u32 = 50;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [child, folder] = &arguments[..]
        && child == "child"
    {
        return child::run(folder.as_ref());
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    if !arguments
        .first()
        .is_none_or(|filter| filter.starts_with('-') || NAME.contains(filter))
    {
        return ExitCode::SUCCESS;
    }
    let cycles = option("--cycles").unwrap_or(CYCLES);
    let seed = option("--seed").unwrap_or_else(liferaft::platform::entropy_u64);
    let root = option("--folder").unwrap_or_else(env::temp_dir);
    let folder = root.join(format!("liferaft-kills-{}", process::id()));
    if let Some(mount) = option::<PathBuf>("--full-disk") {
        let told = full_disk::run(&mount, &folder);
        return report("a_full_disk_loses_nothing_acknowledged", &folder, told, "");
    }
    let crash = option("--image").map_or(Crash::Kill, |image| Crash::PowerLoss {
        mount: root.clone(),
        image,
    });
    let told = Rounds::new(&folder, seed, crash).run(cycles);
    let again = format!("; `--seed {seed}` repeats the moments");
    report(NAME, &folder, told.map(|tally| tally.to_string()), &again)
}

/// Tells how it went. If all was well, the folder is removed.
fn report(name: &str, folder: &Path, told: Result<String, String>, again: &str) -> ExitCode {
    match told {
        Ok(told) => {
            fs::remove_dir_all(folder).expect("a member has made it, and has ended");
            println!("test {name} ... ok\n{told}");
            ExitCode::SUCCESS
        }
        Err(lost) => {
            let kept = folder.display();
            println!("test {name} ... FAILED\n{lost}\nstores are in {kept}{again}");
            ExitCode::FAILURE
        }
    }
}

/// The value that follows this name among the arguments.
///
/// # Panics
/// When it is no such value.
fn option<T: FromStr>(name: &str) -> Option<T> {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    let value = arguments.nth(1)?;
    let Ok(value) = value.parse() else {
        panic!("{name} {value} makes no sense");
    };
    Some(value)
}
