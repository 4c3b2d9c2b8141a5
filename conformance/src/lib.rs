//! An independent judge: the interaction scripts of etcd's raft, run against our core.
//!
//! Whoever writes both a protocol and its tests may be wrong twice in the same way. These scripts were written by
//! others, for another implementation. A script commands a handful of servers (campaign, propose, deliver, lose, tick)
//! and says what etcd's servers answered. The scripts are read where they lie; none is kept here.
//!
//! # What is compared
//! What the protocol fixes, not how a library goes about it. Messages, their order, and the log lines are passed over:
//! our servers send others at other moments. Each of these must agree:
//!
//! - `raft-state`: each server's role, term, leader, and whether it votes;
//! - `raft-log`: what is on a server's disk: index, term and content of each entry. With asynchronous writes how they
//!   are grouped is schedule: the logs that the script sees must be ones that our disk has held, in that order;
//! - `status`: the servers that a leader replicates to, the learners among them, and the match of each. While etcd
//!   searches for the match, sends a snapshot or holds entries back, ours may be further, up to what is on that disk;
//! - each `Ready`: the term and vote on disk, in order, the role and leader passed through, the committed entries, each
//!   configuration, as one that was committed. At the end of a `stabilize` the last of them, and the commit index, are
//!   what ours are at;
//! - the term of a campaign, and whether a server may campaign at all; proposals taken, dropped or refused.
//!
//! # Where the two meet
//! - etcd's configuration is in force when applied, ours when appended (§4.1): compared is that of the last committed
//!   entry, by what it leads to.
//! - A server votes with us only when it has caught up (§4.2.1): as long as a change waits for that, what is committed
//!   may come later, and is looked at again. It must have come when the servers are settled without waiting.
//! - Entries have the same index in both logs. Only where one has a membership entry that the other has not (a refused
//!   change leaves an empty entry with etcd; one voter needs no joint phase with us) are they told by term, content and
//!   order from there on.
//! - A follower may learn sooner what is committed; the same is demanded as soon as all servers are settled.
//! - Whoever only asks whether it would be elected counts as a follower without a leader: it has promised nothing.
//!
//! # What the environment makes up for
//! Our core has fewer switches. The environment does only what a real one may: it loses or delays messages, lets time
//! pass for one server, or speaks for a server that has nobody to speak for it.
//!
//! - No pre-vote: the question is not sent, and answered yes for all voters.
//! - No check-quorum: vote requests are marked as asked for by the leader, and leaders begin that span anew each tick.
//! - A joint phase that the script ends itself: messages with the entry that leaves it are delayed until then.
//! - A removed leader's word to its successor is lost: the script says who campaigns.
//! - Votes alone are on disk at once where entries wait for the script: our candidates ask only after that.
//! - A gap in a follower's log may mean reordering, so that our leaders resend after a while: at the end of a
//!   `stabilize` in which a gap was shown, that while passes.
//! - A leader that is forgotten is time that passes for the follower. It knows that leader no more.
//!
//! # What differs by design
//! A difference excuses nothing by having come up: it explains an expectation only by what it turns it into. A file in
//! which all disagreements are explained `differs`; any other disagreement fails it. What is explained stays so: the
//! first answer binds the later ones, for all servers.
//!
//! - A removed leader that goes on leading: ours steps down when its removal commits (§4.2.2). In that term, its role
//!   and leader, where the script says both; and entries of its log that it would have gone on to commit.
//! - A change counts from when it is appended (§4.1). While the servers have more to do: entries that a majority of the
//!   configuration before has acknowledged and one of the configuration in force has not, the commit index up to them,
//!   that configuration itself once the script has shown it, and that the leader which it removes still leads. What
//!   that leader commits by leading so long: one commit index for one of the script's.
//! - A joint phase ends by itself (§4.3): the one vote of a server whose log is longer than the candidate's by the
//!   entry that ends it, and by that alone.
//! - Membership changes without the check that one is under way (§4.1): that such a change is taken, its entry, and the
//!   configuration that has its steps besides, which all later expectations of members must then meet.
//! - A voter that never catches up with the log (§4.2.1): the same of the change that waits for it.
//! - Which of several servers goes on that ask for pre-votes at the same time: ours agree on the one with the best log
//!   and id, so that they do not split the vote. In that term, ours in place of the script's leader, always the same.

mod cluster;
mod expected;
mod judge;
mod likeness;
mod run;
mod script;

pub use script::ScriptError;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ours hold to be true what etcd's do.
    Agreed,
    /// Something is decided otherwise by our design: each such difference, how many expectations it explains, and where
    /// it shows first. All others are met.
    Differs(String),
    /// Something is otherwise that should not be, or the script cannot be run.
    Failed(String),
}

/// A script's name and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The name of the file.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How many facts were compared.
    pub facts: usize,
}

/// Runs a script. One that panics, or cannot be read or run, has failed.
///
/// ```
/// use liferaft_conformance::{Verdict, judge};
///
/// let script = "add-nodes 1 voters=(1) index=3\n----\nok\n\nraft-state\n----\n\
///               1: StateFollower (Voter) Term:0 Lead:0\n";
///
/// assert_eq!(judge("idle.txt", script).verdict, Verdict::Agreed);
/// assert!(matches!(judge("bad.txt", "dance\n----\n").verdict, Verdict::Failed(_)));
/// ```
#[must_use]
pub fn judge(name: &str, text: &str) -> FileReport {
    // A broken invariant of the core panics: that, too, is a verdict on this file and no other.
    let judged = catch_unwind(AssertUnwindSafe(|| run::run(text)));
    let (verdict, facts) = match judged {
        Ok(Ok(judge)) => (verdict(&judge.findings), judge.facts),
        Ok(Err(error)) => (Verdict::Failed(error.to_string()), 0),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let said = said.unwrap_or("without a word");
            (Verdict::Failed(format!("panicked: {said}")), 0)
        }
    };
    FileReport {
        name: name.to_owned(),
        verdict,
        facts,
    }
}

fn verdict(findings: &[judge::Finding]) -> Verdict {
    if std::env::var_os("DBG").is_some() {
        for f in findings {
            eprintln!("   {f:?}");
        }
    }
    let mut explained: BTreeMap<cluster::Difference, (&judge::Finding, usize)> = BTreeMap::new();
    for finding in findings {
        let Some(difference) = finding.explained else {
            return Verdict::Failed(format!("line {}: {}", finding.line, finding.what));
        };
        let (_, count) = explained.entry(difference).or_insert((finding, 0));
        *count += 1;
    }
    if explained.is_empty() {
        return Verdict::Agreed;
    }
    let reasons = explained.iter().map(|(difference, (first, count))| {
        let (reason, line, what) = (difference.reason(), first.line, &first.what);
        format!("{reason}: explains {count}, first line {line}: {what}")
    });
    Verdict::Differs(reasons.collect::<Vec<_>>().join("; "))
}

/// Where the scripts are in a folder that holds more than them.
const INTERACTION: &str = "etcd-raft/interaction";

/// Returns the scripts of a folder, sorted by name: its files that end in `.txt`, or, if it has none, those in its
/// `etcd-raft/interaction`.
///
/// # Errors
/// When the folder cannot be read.
pub fn scripts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let within = folder.join(INTERACTION);
    let own = texts(folder)?;
    if own.is_empty() && within.is_dir() {
        return texts(&within);
    }
    Ok(own)
}

fn texts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs the [`scripts`] of a folder, in their order.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn judge_folder(folder: &Path) -> io::Result<Vec<FileReport>> {
    let paths = scripts(folder)?;
    let judged = paths.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(judge(&name, &fs::read_to_string(path)?))
    });
    judged.collect()
}
