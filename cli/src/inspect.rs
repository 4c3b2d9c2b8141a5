//! Prints what a store holds, for people or for programs.

use std::fmt::{self, Debug, Display, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use liferaft::configuration::Suffrage;
use liferaft::storage::{
    EntryKind, EntryOutline, HeaderOutline, Inspection, OutboxOutline, Repair, Verdict, inspect,
};
use serde_json::{Value, json};

use crate::print;

/// Print what the store of a member holds, also if it is damaged; nothing is changed
///
/// Identity, hard state, log, snapshot, configuration, boots seen of other servers, the last entries without what they
/// say, outboxes; what opening the store would repair, and what is damaged, by file, byte and batch. It can be asked
/// while a member has the store open: what is being written at that moment may look torn. The exit status is 0 if a
/// member can open the store, or begin one there, or it is a backup in order, 3 if the store or an outbox is damaged or
/// of another format, and 1 if the folder cannot be read.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the member
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// How many of the last entries to print
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: usize,

    /// Print one JSON object on standard output, and nothing else
    ///
    /// `state` is blank, sound or refused, and `error` says why a member would be refused. Servers, clusters and
    /// histories are written as 0x…, since they have more digits than JSON numbers. What is not known is null.
    #[arg(long, env = "LIFERAFT_JSON")]
    json: bool,
}

/// The exit status of a store that is refused.
const REFUSED: u8 = 3;

/// Prints what the folder holds.
pub(crate) fn run(options: &Options) -> ExitCode {
    let inspection = match inspect(&options.folder, options.last) {
        Ok(inspection) => inspection,
        Err(error) => {
            crate::tell_error(format_args!("error: {}: {error}", options.folder.display()));
            return ExitCode::FAILURE;
        }
    };
    let text = if options.json {
        object(&inspection).to_string() + "\n"
    } else {
        table(&inspection, options)
    };
    if let Err(error) = print(&text) {
        crate::tell_error(format_args!("error: {error:#}"));
        return ExitCode::FAILURE;
    }
    let is_refused = matches!(inspection.verdict, Verdict::Refused(_));
    let mut outboxes = inspection.outboxes.iter();
    if is_refused || outboxes.any(|outbox| outbox.error.is_some()) {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    }
}

const fn kind(entry: &EntryOutline) -> &'static str {
    match entry.kind {
        EntryKind::Noop => "noop",
        EntryKind::Command => "command",
        EntryKind::Configuration => "configuration",
    }
}

/// All digits of an id, as other commands and programs take it.
fn whole(id: &impl Debug) -> String {
    format!("{id:?}")
}

/// Those who take part, by what they are.
fn servers(inspection: &Inspection) -> Option<(u64, [Vec<String>; 3])> {
    let (index, configuration) = inspection.configuration.as_ref()?;
    let with = |suffrage: Option<Suffrage>| {
        let members = configuration.members();
        let with = members.filter(|(_, member)| member.suffrage == suffrage);
        with.map(|(server, _)| whole(&server)).collect()
    };
    let voters = with(Some(Suffrage::Voter));
    let outgoing = configuration.outgoing().iter().map(whole);
    Some((
        index.0,
        [voters, with(Some(Suffrage::Learner)), outgoing.collect()],
    ))
}

fn object(inspection: &Inspection) -> Value {
    let (state, error) = match &inspection.verdict {
        Verdict::Blank => ("blank", None),
        Verdict::Sound => ("sound", None),
        Verdict::Refused(error) => ("refused", Some(error.to_string())),
    };
    json!({
        "state": state,
        "error": error,
        "in_use": inspection.in_use,
        "header": inspection.header.as_ref().map(header_object),
        "log": inspection.log.map(|log| json!({
            "first": log.first.index.0,
            "first_term": log.first.term.0,
            "last": log.last.index.0,
            "last_term": log.last.term.0,
            "entries": log.entries,
            "bytes": log.bytes,
        })),
        "snapshot": inspection.snapshot.as_ref().map(|snapshot| json!({
            "index": snapshot.last.index.0,
            "term": snapshot.last.term.0,
            "bytes": snapshot.length,
            "digest": snapshot.digest,
        })),
        "configuration": servers(inspection).map(|(index, [voters, learners, outgoing])| json!({
            "index": index,
            "voters": voters,
            "learners": learners,
            "outgoing": outgoing,
        })),
        "last_entries": inspection.last_entries.iter().map(|entry| json!({
            "index": entry.position.index.0,
            "term": entry.position.term.0,
            "kind": kind(entry),
            "bytes": entry.bytes,
        })).collect::<Vec<_>>(),
        "peer_boots": inspection.peer_boots.iter().map(|(server, boot)| json!({
            "server": whole(&server),
            "number": boot.number,
            "nonce": format!("{:#x}", boot.nonce),
        })).collect::<Vec<_>>(),
        "repairs": texts(&inspection.repairs),
        "flaws": inspection.flaws.iter().map(|flaw| json!({
            "file": flaw.file,
            "byte": flaw.offset,
            "batch": flaw.batch,
            "reason": flaw.reason,
        })).collect::<Vec<_>>(),
        "outboxes": inspection.outboxes.iter().map(outbox_object).collect::<Vec<_>>(),
    })
}

fn header_object(header: &HeaderOutline) -> Value {
    let hard_state = header.hard_state;
    json!({
        "server": whole(&header.server),
        "cluster": header.cluster.map(|cluster| whole(&cluster)),
        "history": header.history.map(|history| format!("{:#x}", history.0)),
        "boots": header.boots,
        "term": hard_state.term.0,
        "voted_for": hard_state.voted_for.map(|server| whole(&server)),
        "commit": hard_state.commit.0,
        "promise_ms": hard_state.promise.as_secs_f64() * 1000.0,
        "mark": header.mark,
        "is_backup": header.is_backup,
    })
}

fn outbox_object(outbox: &OutboxOutline) -> Value {
    json!({
        "name": outbox.name,
        "error": outbox.error.as_ref().map(ToString::to_string),
        "in_use": outbox.in_use,
        "first": outbox.waiting.map(|(first, _)| first),
        "last": outbox.waiting.map(|(_, last)| last),
        "bytes": outbox.bytes,
        "session": outbox.position.and_then(|position| position.session).map(|session| session.0),
        "sent_through": outbox.position.map(|position| position.sent_through),
        "repairs": texts(&outbox.repairs),
    })
}

fn texts(repairs: &[Repair]) -> Vec<String> {
    repairs.iter().map(ToString::to_string).collect()
}

/// Lines of a name and what it is.
struct Table(String);

impl Table {
    fn line(&mut self, name: &str, text: fmt::Arguments<'_>) {
        // A string takes anything.
        let _full = writeln!(self.0, "{name:<14} {text}");
    }
}

fn table(inspection: &Inspection, options: &Options) -> String {
    let mut table = Table(String::new());
    table.line("folder", format_args!("{}", options.folder.display()));
    let in_use = if inspection.in_use {
        "; a member has it open, and may be writing"
    } else {
        ""
    };
    match &inspection.verdict {
        Verdict::Blank => table.line("store", format_args!("none{in_use}")),
        Verdict::Sound => table.line("store", format_args!("in order{in_use}")),
        Verdict::Refused(error) => table.line("store", format_args!("refused: {error}{in_use}")),
    }
    if let Some(header) = &inspection.header {
        header_lines(&mut table, header);
    }
    log_lines(&mut table, inspection);
    for (server, boot) in inspection.peer_boots.iter() {
        let server = whole(&server);
        table.line(
            "peer",
            format_args!("{server}: boot {} was seen", boot.number),
        );
    }
    for repair in &inspection.repairs {
        table.line("repair", format_args!("{repair}"));
    }
    for flaw in &inspection.flaws {
        let (file, reason) = (&flaw.file, &flaw.reason);
        match (flaw.offset, flaw.batch) {
            (Some(offset), Some(batch)) => table.line(
                "not whole",
                format_args!("{file}, batch {batch} at byte {offset}: {reason}"),
            ),
            _ => table.line("not whole", format_args!("{file}: {reason}")),
        }
    }
    for outbox in &inspection.outboxes {
        outbox_lines(&mut table, outbox);
    }
    for entry in &inspection.last_entries {
        table.line(
            "entry",
            format_args!("{} {}, {} bytes", entry.position, kind(entry), entry.bytes),
        );
    }
    table.0
}

fn header_lines(table: &mut Table, header: &HeaderOutline) {
    let hard_state = header.hard_state;
    if header.is_backup {
        table.line(
            "backup",
            format_args!("no member opens it before `liferaft recover`"),
        );
    }
    table.line("server", format_args!("{}", whole(&header.server)));
    let cluster = header.cluster.map(|cluster| whole(&cluster));
    table.line("cluster", format_args!("{}", or_none(cluster)));
    let history = header.history.map(|history| format!("{:#x}", history.0));
    table.line("history", format_args!("{}", or_none(history)));
    table.line("boots", format_args!("{}", header.boots));
    table.line("term", format_args!("{}", hard_state.term));
    table.line(
        "voted for",
        format_args!("{}", or_none(hard_state.voted_for)),
    );
    table.line(
        "committed",
        format_args!("at least to {}", hard_state.commit),
    );
    table.line("promise", format_args!("{:?}", hard_state.promise));
}

fn log_lines(table: &mut Table, inspection: &Inspection) {
    match &inspection.log {
        Some(log) => table.line(
            "log",
            format_args!(
                "{} to {}: {} entries, {} bytes",
                log.first, log.last, log.entries, log.bytes
            ),
        ),
        None => table.line("log", format_args!("no entries")),
    }
    match &inspection.snapshot {
        Some(snapshot) => table.line(
            "snapshot",
            format_args!("to {}: {} bytes", snapshot.last, snapshot.length),
        ),
        None => table.line("snapshot", format_args!("none")),
    }
    if let Some((index, [voters, learners, outgoing])) = servers(inspection) {
        table.line("configuration", format_args!("of index {index}"));
        for (what, servers) in [
            ("  voters", voters),
            ("  learners", learners),
            ("  outgoing", outgoing),
        ] {
            if !servers.is_empty() {
                table.line(what, format_args!("{}", servers.join(", ")));
            }
        }
    }
}

fn outbox_lines(table: &mut Table, outbox: &OutboxOutline) {
    let name = &outbox.name;
    let in_use = if outbox.in_use { "; it is open" } else { "" };
    match (&outbox.error, outbox.waiting) {
        (Some(error), _) => table.line("outbox", format_args!("{name}: refused: {error}{in_use}")),
        (None, None) => table.line("outbox", format_args!("{name}: nothing waits{in_use}")),
        (None, Some((first, last))) => table.line(
            "outbox",
            format_args!(
                "{name}: commands {first} to {last} wait, {} bytes{in_use}",
                outbox.bytes
            ),
        ),
    }
    for repair in &outbox.repairs {
        table.line("  repair", format_args!("{repair}"));
    }
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
