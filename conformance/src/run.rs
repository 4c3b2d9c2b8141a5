//! A script from its first command to its last.

use bytes::Bytes;
use liferaft_raft::configuration::{Configuration, Description, Member};
use liferaft_raft::consensus::RoleKind;
use liferaft_raft::ids::ServerId;

use crate::cluster::{ChangeKind, Claim, Cluster, Kind, Options, Outcome, Start};
use crate::expected;
use crate::judge::Judge;
use crate::script::{Argument, Directive, ScriptError, parse};

/// The scripts' log levels, least first. At the last nothing is answered but errors.
const LEVELS: [&str; 6] = ["debug", "info", "warn", "error", "fatal", "none"];
const INFO: usize = 1;
const NONE: usize = 5;

/// Bounds what a script may ask for.
const SERVERS_MAX: u64 = 1000;

/// What a script does, and how much of it is to be seen.
struct Run {
    cluster: Cluster,
    judge: Judge,
    level: usize,
}

/// Runs a script and compares as it goes.
pub(crate) fn run(text: &str) -> Result<Judge, ScriptError> {
    let mut run = Run {
        cluster: Cluster::default(),
        judge: Judge::default(),
        level: 0,
    };
    let directives = parse(text)?;
    for directive in &directives {
        run.execute(directive)?;
    }
    let finished = run.judge.finish(&mut run.cluster);
    finished.map_err(|reason| {
        directives.last().map_or_else(
            || Directive::default().error(reason.clone()),
            |last| last.error(reason.clone()),
        )
    })?;
    Ok(run.judge)
}

impl Run {
    fn execute(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let failed = |reason: String| directive.error(reason);
        let looks = [
            "_breakpoint",
            "log-level",
            "raft-state",
            "raft-log",
            "status",
        ];
        self.cluster.settled &= looks.contains(&directive.command.as_str());
        match directive.command.as_str() {
            "_breakpoint" => Ok(()),
            "log-level" => {
                directive.named(&[])?;
                self.level = level(directive, directive.words(1, 1)?[0])?;
                Ok(())
            }
            "add-nodes" => self.add_nodes(directive),
            "raft-state" => self.raft_state(directive),
            "raft-log" => self.raft_log(directive),
            "status" => self.status(directive),
            "stabilize" => self.stabilize(directive),
            "process-ready" => {
                let ids = self.ids(directive)?;
                for id in &ids {
                    self.cluster.process_ready(*id).map_err(failed)?;
                }
                self.look(directive, ids.first().copied(), self.level)
            }
            "process-append-thread" => {
                for id in self.ids(directive)? {
                    self.cluster.process_append(id).map_err(failed)?;
                }
                self.look(directive, None, self.level)
            }
            "process-apply-thread" => {
                for id in self.ids(directive)? {
                    self.cluster.process_apply(id).map_err(failed)?;
                }
                self.look(directive, None, self.level)
            }
            "deliver-msgs" => self.deliver(directive),
            "campaign" => self.campaign(directive),
            "propose" => self.propose(directive),
            "propose-conf-change" => self.propose_change(directive),
            "tick-heartbeat" | "tick-election" => {
                directive.named(&[])?;
                let id = directive.numbers(1, 1)?[0];
                let election = directive.command == "tick-election";
                self.cluster.tick(id, election).map_err(failed)?;
                self.look(directive, None, self.level)
            }
            "set-randomized-election-timeout" => {
                let id = directive.numbers(1, 1)?[0];
                for argument in directive.named(&["timeout"])? {
                    let ticks = directive.number(directive.value(argument)?)?;
                    self.cluster.set_patience(id, ticks).map_err(failed)?;
                }
                Ok(())
            }
            "forget-leader" => {
                directive.named(&[])?;
                let id = directive.numbers(1, 1)?[0];
                self.cluster.forget_leader(id).map_err(failed)?;
                self.look(directive, None, self.level)
            }
            "transfer-leadership" => {
                let (from, to) = transfer(directive)?;
                self.cluster.transfer(from, to).map_err(failed)?;
                self.look(directive, None, self.level)
            }
            "send-snapshot" => {
                directive.named(&[])?;
                let ids = directive.numbers(2, 2)?;
                self.cluster.send_snapshot(ids[0], ids[1]).map_err(failed)?;
                self.look(directive, None, self.level)
            }
            "compact" => {
                directive.named(&[])?;
                let numbers = directive.numbers(2, 2)?;
                let (id, index) = (numbers[0], numbers[1]);
                self.cluster.compact(id, index).map_err(failed)
            }
            "report-unreachable" => {
                directive.named(&[])?;
                // Our leaders judge by the rounds that a server answers, and need not be told.
                let ids = directive.numbers(2, 2)?;
                self.cluster.node(ids[0]).map_err(failed)?;
                Ok(())
            }
            other => Err(directive.error(format!("unknown command `{other}`"))),
        }
    }

    fn ids(&mut self, directive: &Directive) -> Result<Vec<u64>, ScriptError> {
        directive.named(&[])?;
        let ids = directive.numbers(1, usize::MAX)?;
        for id in &ids {
            let known = self.cluster.node(*id).map(|_| ());
            known.map_err(|reason| directive.error(reason))?;
        }
        Ok(ids)
    }

    /// Takes note of what the answer says, at a level at which it says something.
    fn look(
        &mut self,
        directive: &Directive,
        server: Option<u64>,
        level: usize,
    ) -> Result<(), ScriptError> {
        if level == NONE {
            self.judge.forget(&mut self.cluster);
            return Ok(());
        }
        let stated = expected::stated(&directive.expected, server)
            .map_err(|(line, reason)| ScriptError { line, reason })?;
        self.judge.note(&mut self.cluster, stated);
        Ok(())
    }

    fn add_nodes(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let count = directive.numbers(1, 1)?[0];
        let present = self.cluster.nodes().len() as u64;
        if count > SERVERS_MAX - present.min(SERVERS_MAX) {
            return Err(directive.error(format!("more than {SERVERS_MAX} servers")));
        }
        let options = options(directive)?;
        let commit = options.start.as_ref().map_or(0, |start| start.index);
        self.cluster
            .add_nodes(count, &options)
            .map_err(|reason| directive.error(reason))?;
        for server in present + 1..=present + count {
            self.judge.started(directive.line, server, commit);
        }
        if self.level < NONE {
            self.look(directive, None, self.level)?;
        }
        Ok(())
    }

    fn stabilize(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let failed = |reason: String| directive.error(reason);
        let mut level = self.level;
        for argument in directive.named(&["log-level"])? {
            level = self::level(directive, directive.value(argument)?)?;
        }
        let ids = directive.numbers(0, usize::MAX)?;
        self.cluster.stabilize(&ids).map_err(failed)?;
        self.cluster.settled = ids.is_empty();
        self.look(directive, None, level)?;
        self.judge.settled(&mut self.cluster, &ids).map_err(failed)
    }

    fn deliver(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let failed = |reason: String| directive.error(reason);
        directive.named(&["type", "drop"])?;
        let mut kind = None;
        let mut recipients = Vec::new();
        for Argument { key, values } in &directive.arguments {
            match (key.as_str(), values.as_deref()) {
                ("type", Some([name])) => {
                    let named = Kind::named(name);
                    kind = Some(named.ok_or_else(|| failed(format!("no message `{name}`")))?);
                }
                ("drop", Some(ids)) => {
                    for id in ids {
                        recipients.push((directive.number(id)?, true));
                    }
                }
                (id, None) => recipients.push((directive.number(id)?, false)),
                _ => return Err(failed(format!("`{key}` wants one value"))),
            }
        }
        for (id, lose) in recipients {
            self.cluster.deliver(id, kind, lose).map_err(failed)?;
        }
        self.look(directive, None, self.level)
    }

    fn campaign(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let failed = |reason: String| directive.error(reason);
        directive.named(&[])?;
        let id = directive.numbers(1, 1)?[0];
        self.cluster.campaign(id).map_err(failed)?;
        self.look(directive, None, self.level)?;
        let status = self.cluster.node(id).map_err(failed)?.status();
        for (line, text) in &directive.expected {
            let campaigns = matches!(status.role, RoleKind::PreCandidate | RoleKind::Candidate);
            if text.contains(" is unpromotable") {
                let what = format!("whether server {id} campaigns");
                self.judge
                    .compare(&mut self.cluster, *line, &what, &false, &campaigns);
            }
            let Some((_, term)) = text.split_once("candidate at term ") else {
                continue;
            };
            let term: u64 = directive.number(term.trim())?;
            let what = format!("the term of server {id}'s campaign");
            self.judge
                .compare(&mut self.cluster, *line, &what, &term, &status.term.0);
            let what = format!("whether server {id} campaigns");
            self.judge
                .compare(&mut self.cluster, *line, &what, &true, &campaigns);
        }
        Ok(())
    }

    fn propose(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        directive.named(&[])?;
        let words = directive.words(2, 2)?;
        let id = directive.number(words[0])?;
        let command = Bytes::copy_from_slice(words[1].as_bytes());
        let outcome = self
            .cluster
            .propose(id, command)
            .map_err(|reason| directive.error(reason))?;
        self.compare_dropped(directive, &outcome);
        self.look(directive, None, self.level)
    }

    fn propose_change(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let id = directive.numbers(1, 1)?[0];
        let (mut v1, mut kind) = (false, ChangeKind::default());
        for argument in directive.named(&["v1", "transition"])? {
            if argument.key == "v1" {
                v1 = directive.flag(argument)?;
                continue;
            }
            match directive.value(argument)? {
                "auto" => {}
                "implicit" => kind.joint = true,
                "explicit" => {
                    kind.joint = true;
                    kind.explicit = true;
                }
                other => return Err(directive.error(format!("no transition `{other}`"))),
            }
        }
        let steps = expected::steps(&directive.input.join(" "))
            .ok_or_else(|| directive.error(format!("no change {:?}", directive.input)))?;
        if v1 && steps.len() != 1 {
            return Err(directive.error("a v1 change has one step"));
        }
        kind.joint |= steps.len() > 1;
        let outcome = self
            .cluster
            .change(id, steps.clone(), kind)
            .map_err(|reason| directive.error(reason))?;
        self.compare_dropped(directive, &outcome);
        if self.level <= INFO && matches!(outcome, Outcome::Done | Outcome::Refused(_)) {
            let ignored = |(_, line): &(usize, String)| line.contains("ignoring conf change");
            let expected = directive.expected.iter().any(ignored);
            let refused = matches!(outcome, Outcome::Refused(_));
            let claim = if expected {
                Claim::Strict
            } else {
                Claim::Taken(&steps)
            };
            self.judge.check(
                &mut self.cluster,
                directive.line,
                claim,
                expected == refused,
                || {
                    let expected = if expected { "a refusal" } else { "no refusal" };
                    format!("the change: {expected} expected, {outcome:?} found")
                },
            );
        }
        self.look(directive, None, self.level)
    }

    /// An error is answered at any level.
    fn compare_dropped(&mut self, directive: &Directive, outcome: &Outcome) {
        let mut lines = directive.expected.iter();
        let expected = lines.any(|(_, line)| line.contains("raft proposal dropped"));
        let dropped = *outcome == Outcome::Dropped;
        self.judge.check(
            &mut self.cluster,
            directive.line,
            Claim::Strict,
            expected == dropped,
            || {
                let expected = if expected { "dropped" } else { "taken" };
                format!("the proposal: {expected} expected, {outcome:?} found")
            },
        );
    }

    fn raft_state(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        directive.named(&[])?;
        directive.words(0, 0)?;
        if self.level == NONE {
            return Ok(());
        }
        for (line, text) in &directive.expected {
            let fact = expected::state(text).ok_or_else(|| unreadable(*line, text))?;
            self.judge
                .state(&mut self.cluster, *line, &fact)
                .map_err(|reason| ScriptError {
                    line: *line,
                    reason,
                })?;
        }
        Ok(())
    }

    fn raft_log(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let id = self.ids(directive)?[0];
        if self.level == NONE {
            return Ok(());
        }
        let mut facts = Vec::new();
        for (line, text) in &directive.expected {
            if text.starts_with("log is empty") {
                continue;
            }
            facts.push(expected::entry(text).ok_or_else(|| unreadable(*line, text))?);
        }
        self.judge
            .log(&mut self.cluster, directive.line, id, &facts)
            .map_err(|reason| directive.error(reason))
    }

    fn status(&mut self, directive: &Directive) -> Result<(), ScriptError> {
        let id = self.ids(directive)?[0];
        if self.level == NONE {
            return Ok(());
        }
        let mut facts = Vec::new();
        for (line, text) in &directive.expected {
            if text == "ok" {
                continue;
            }
            let fact = expected::progress(text).ok_or_else(|| unreadable(*line, text))?;
            facts.push((*line, fact));
        }
        self.judge
            .progress(&mut self.cluster, directive.line, id, &facts)
            .map_err(|reason| directive.error(reason))
    }
}

fn unreadable(line: usize, text: &str) -> ScriptError {
    ScriptError {
        line,
        reason: format!("cannot read `{text}`"),
    }
}

fn level(directive: &Directive, name: &str) -> Result<usize, ScriptError> {
    let known = LEVELS
        .iter()
        .position(|level| level.eq_ignore_ascii_case(name));
    known.ok_or_else(|| directive.error(format!("no log level `{name}`")))
}

/// Who hands over to whom: `from=1 to=4`, or the two ids.
fn transfer(directive: &Directive) -> Result<(u64, u64), ScriptError> {
    let named = directive.named(&["from", "to"])?;
    if named.is_empty() {
        let ids = directive.numbers(2, 2)?;
        return Ok((ids[0], ids[1]));
    }
    directive.words(0, 0)?;
    let id = |key: &str| {
        let mut of_key = named.iter().filter(|argument| argument.key == key);
        match (of_key.next(), of_key.next()) {
            (Some(argument), None) => directive.number(directive.value(argument)?),
            _ => Err(directive.error(format!("`{}` wants one `{key}`", directive.command))),
        }
    };
    Ok((id("from")?, id("to")?))
}

/// What `add-nodes` sets.
fn options(directive: &Directive) -> Result<Options, ScriptError> {
    const KNOWN: [&str; 12] = [
        "voters",
        "learners",
        "index",
        "inflight",
        "content",
        "async-storage-writes",
        "prevote",
        "checkquorum",
        "max-committed-size-per-ready",
        "disable-conf-change-validation",
        "read-only",
        "step-down-on-removal",
    ];
    let mut options = Options::default();
    let mut members: Vec<(ServerId, Member)> = Vec::new();
    let (mut index, mut content) = (None, String::new());
    for argument in directive.named(&KNOWN)? {
        match argument.key.as_str() {
            key @ ("voters" | "learners") => {
                for id in argument.values.iter().flatten() {
                    let id = ServerId(u128::from(directive.number::<u64>(id)?));
                    let member = if key == "voters" {
                        Member::voter(Description::default())
                    } else {
                        Member::learner(Description::default())
                    };
                    members.push((id, member));
                }
            }
            "index" => index = Some(directive.number(directive.value(argument)?)?),
            "content" => directive.value(argument)?.clone_into(&mut content),
            "async-storage-writes" => options.asynchronous = directive.flag(argument)?,
            "prevote" => options.pre_vote = directive.flag(argument)?,
            "checkquorum" => options.check_quorum = directive.flag(argument)?,
            "disable-conf-change-validation" => {
                options.validation_disabled = directive.flag(argument)?;
            }
            "step-down-on-removal" => options.step_down_on_removal = directive.flag(argument)?,
            "read-only" => {
                options.lease_reads = match directive.value(argument)? {
                    "safe" => false,
                    "lease-based" => true,
                    other => return Err(directive.error(format!("no reads `{other}`"))),
                };
            }
            // Bounds on what goes at once: the schedule's, not the protocol's.
            "inflight" | "max-committed-size-per-ready" => {
                directive.number::<u64>(directive.value(argument)?)?;
            }
            other => return Err(directive.error(format!("unknown argument `{other}`"))),
        }
    }
    let configuration = Configuration::from_members(members);
    match index {
        Some(index) if index > 1 && index < u64::MAX / 2 => {
            options.start = Some(Start {
                index,
                configuration,
                content,
            });
        }
        None if configuration.is_empty() && content.is_empty() => {}
        _ => return Err(directive.error("servers start from an index above 1, or blank")),
    }
    Ok(options)
}
