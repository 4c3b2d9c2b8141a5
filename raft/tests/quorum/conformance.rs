//! The quorum cases of etcd's raft, read from the folder that `LIFERAFT_CONFORMANCE` names; without it there is nothing
//! to compare with, which the test command lists as skipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use liferaft_raft::configuration::{Configuration, Description, Member, Suffrage};
use liferaft_raft::consensus::quorum::{self, Tally};
use liferaft_raft::ids::ServerId;

/// One case: a command line and the last line of the answer expected.
#[derive(Debug)]
struct Case {
    command: String,
    expected: String,
}

/// The cases of a file: a command, a line `----`, the answer up to a blank line.
fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let command = line.to_owned();
        assert_eq!(lines.next(), Some("----"), "after {command}");
        let mut expected = String::new();
        while let Some(answer) = lines.next_if(|line| !line.trim().is_empty()) {
            expected = answer.to_owned();
        }
        cases.push(Case { command, expected });
    }
    cases
}

/// The values in `name=(a,b,c)`; `None` if there is no such argument.
fn list<'a>(command: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let argument = command.split_once(&format!(" {name}="))?.1;
    let inside = argument.strip_prefix('(')?.split_once(')')?.0;
    Some(
        inside
            .split(',')
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect(),
    )
}

fn servers(command: &str, name: &str) -> Vec<ServerId> {
    let ids = list(command, name).unwrap_or_default();
    ids.into_iter()
        .map(|id| ServerId(id.parse().expect("an id")))
        .collect()
}

fn configuration(voters: &[ServerId], outgoing: &[ServerId]) -> Configuration {
    let all: BTreeSet<ServerId> = voters.iter().chain(outgoing).copied().collect();
    Configuration::from_members(all.into_iter().map(|id| {
        let member = Member {
            suffrage: voters.contains(&id).then_some(Suffrage::Voter),
            outgoing_voter: outgoing.contains(&id),
            description: Description::default(),
            voucher: None,
        };
        (id, member)
    }))
}

fn answer(command: &str) -> String {
    let (voters, outgoing) = (servers(command, "cfg"), servers(command, "cfgj"));
    let configuration = configuration(&voters, &outgoing);
    // Values are listed for the servers in the order in which they are first named.
    let mut named: Vec<ServerId> = Vec::new();
    for id in voters.iter().chain(&outgoing) {
        if !named.contains(id) {
            named.push(*id);
        }
    }
    let given = |name: &str, voter: ServerId| {
        let at = named
            .iter()
            .position(|id| *id == voter)
            .expect("only voters are asked for");
        list(command, name).expect("a value for each voter")[at].to_owned()
    };
    if command.starts_with("committed") {
        let index = |voter| given("idx", voter).parse().unwrap_or(0_u64);
        return quorum::reached(&configuration, index)
            .map_or("∞".into(), |index| index.to_string());
    }
    let vote = |voter| match given("votes", voter).as_str() {
        "y" => Some(true),
        "n" => Some(false),
        _ => None,
    };
    match quorum::tally(&configuration, vote) {
        Tally::Won => "VoteWon",
        Tally::Lost => "VoteLost",
        Tally::Pending => "VotePending",
    }
    .to_owned()
}

#[test]
fn quorums_agree_with_those_of_etcd() {
    let Some(folder) = std::env::var_os("LIFERAFT_CONFORMANCE") else {
        return;
    };
    let folder = Path::new(&folder).join("etcd-raft/quorum");
    let mut count = 0;

    for file in
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = file.expect("a readable folder").path();
        for Case { command, expected } in
            cases(&fs::read_to_string(&path).expect("a readable file"))
        {
            let answer = answer(&command);
            assert!(
                expected.trim_start_matches("<empty majority quorum>") == answer,
                "{}: {command}: {answer}, not {expected}",
                path.display()
            );
            count += 1;
        }
    }

    assert!(count > 0, "no case in {}", folder.display());
    println!("{count} cases agree");
}
