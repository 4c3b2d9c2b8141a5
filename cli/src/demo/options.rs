//! Reads what the demo is asked for.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// Run a cluster on this machine, break it, and verify that nothing was lost
///
/// Newcomers join by any member's address; members append chat lines; the leader is killed, evicted, and comes back
/// from its disk; just under half of the voters are killed at once, the leader among them, and evicted; all that is
/// left goes on. Then the complete histories of all survivors are compared: success means that they are identical, that
/// every acknowledged line is there exactly once and that no line is there twice.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Members of the cluster, 1 to 101, or to 41 with --processes; of fewer than 3 none are killed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = within::<usize>(1..=NODES_MAX))]
    pub(crate) nodes: usize,

    /// So many of the members vote, 3 or more, and the others learn, and take the place of voters that die [default:
    /// all]
    #[arg(long, value_name = "N", value_parser = within::<usize>(3..=NODES_MAX))]
    voters: Option<usize>,

    /// Chat lines, written by all members in turn; 101 more are written to measure [default: 20 for each member]
    #[arg(long, value_name = "N", value_parser = within::<usize>(1..=100_000))]
    lines: Option<usize>,

    /// The shortest time without a word from the leader after which a member campaigns, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = within::<u64>(50..=60_000))]
    election_timeout: u64,

    /// Who has answered nothing for so long is evicted, in milliseconds [default: 4 election timeouts, 1 with --lab]
    #[arg(long, value_name = "MS", value_parser = within::<u64>(50..=600_000))]
    evict_after: Option<u64>,

    /// The laboratory's profile: who is silent for an election timeout is evicted, down to 2 voters instead of 3
    #[arg(long)]
    pub(crate) lab: bool,

    /// Messages that the network loses, in percent, 0 to 50
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = within::<u32>(0..=50))]
    pub(crate) loss: u32,

    /// What carries the members' messages: the memory of this process, or over the loopback interface WebSocket, or the
    /// data channels of WebRTC by UDP
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    transport: Option<Transport>,

    /// Run each member in a process of its own, over WebSocket or WebRTC: who is killed, is killed as by SIGKILL
    #[arg(long)]
    pub(crate) processes: bool,

    /// Keep the members' state in memory, and not in folders among the temporary files: figures without the disk's part
    #[arg(long)]
    pub(crate) memory: bool,

    /// Links that prove nothing of who is at their other end: figures without the handshakes' part
    #[arg(long)]
    pub(crate) unproven: bool,

    /// The seed of election timeouts and of what the network loses [default: drawn]
    ///
    /// The clock is real all the same: the same seed does not repeat a run.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Print one JSON object on standard output, and nothing else
    ///
    /// Times are in milliseconds. `up_ms`: from the moment when the first member is constructed until the last one
    /// knows that a configuration with all of them, and as many voters as there are to be, is committed. `mesh_ms`:
    /// from the same moment until each voter has a link with each member, and no learner with another; `links`: how
    /// many links that are; null with --unproven. `propagate_1_ms`: from a follower's `append` of one line until the
    /// last member has applied it. `propagate_100_ms`: the same for 100 lines, each acknowledged before the next is
    /// appended. `elect_after_leader_ms` and `elect_after_half_ms`: from the kill until another member leads; null when
    /// no member was killed. `recover_leader_ms` and `recover_half_ms`: from the kill until every survivor knows that a
    /// configuration without the killed is committed; null when none was killed, or so many that the least number of
    /// voters keeps them. `evict_after_ms`: the silence after which a member is evicted. `udp_datagrams`: how many
    /// datagrams of UDP each member that lived to the end has sent at least; null unless over WebRTC, where nothing is
    /// verified if such a member has taken one packet that came by another way. What a member in a process of its own
    /// tells happened when this one reads it, some tens of microseconds later.
    #[arg(long, env = "LIFERAFT_JSON")]
    pub(crate) json: bool,

    /// The member, counted from 0, whose state machine forges a line: for tests of the verification.
    #[arg(skip)]
    pub(crate) forger: Option<usize>,
}

const NODES_MAX: u64 = 101;

/// The most members in processes of their own.
const PROCESSES_MAX: usize = 41;

/// What carries messages from member to member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// The memory of this process
    Memory,
    /// TCP on the loopback interface
    #[value(name = "websocket")]
    WebSocket,
    /// UDP on the loopback interface
    #[value(name = "webrtc")]
    WebRtc,
}

impl Options {
    /// The chat lines to write.
    pub(crate) fn lines(&self) -> usize {
        self.lines.unwrap_or(20 * self.nodes)
    }

    /// The shortest election timeout of a member.
    pub(crate) const fn election_timeout(&self) -> Duration {
        Duration::from_millis(self.election_timeout)
    }

    /// How long anything may take before the demo gives up: much longer than it ever takes.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(60) + 30 * self.election_timeout() + 3 * self.evict_after()
    }

    /// The silence after which a member is evicted.
    pub(crate) fn evict_after(&self) -> Duration {
        let election_timeouts = if self.lab { 1 } else { 4 };
        self.evict_after.map_or_else(
            || election_timeouts * self.election_timeout(),
            Duration::from_millis,
        )
    }

    /// How many members vote.
    pub(crate) fn voters(&self) -> usize {
        self.voters
            .map_or(self.nodes, |voters| voters.min(self.nodes))
    }

    /// What carries the messages.
    pub(crate) fn transport(&self) -> Transport {
        let usual = if self.processes {
            Transport::WebSocket
        } else {
            Transport::Memory
        };
        self.transport.unwrap_or(usual)
    }

    /// Why these do not go together; `None` if they do.
    pub(crate) fn conflict(&self) -> Option<String> {
        let over_sockets = self.transport() != Transport::Memory;
        let why = if self.processes && !over_sockets {
            "--processes is for --transport websocket or webrtc: processes do not share their memory"
        } else if self.processes && self.memory {
            "--memory is not for --processes: who is killed comes back from its disk, and its memory dies with it"
        } else if self.processes && self.nodes > PROCESSES_MAX {
            return Some(format!(
                "--processes is for at most {PROCESSES_MAX} --nodes"
            ));
        } else if over_sockets && self.loss > 0 {
            "--loss is for --transport memory: the loopback interface loses nothing"
        } else if over_sockets && self.unproven {
            "--unproven is for --transport memory: over sockets, which others reach too, links prove who is there"
        } else {
            return None;
        };
        Some(why.to_owned())
    }

    /// How the members run.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            election_timeout: self.election_timeout(),
            evict_after: self.evict_after(),
            lab: self.lab,
            patience: self.patience(),
            voters: self.voters,
            transport: self.transport(),
        }
    }

    /// The seed asked for, or another one each time.
    pub(crate) fn seed(&self) -> u64 {
        // Short enough to be typed.
        self.seed
            .unwrap_or_else(|| liferaft::platform::entropy_u64() % 1_000_000)
    }

    /// How many members are killed at once: just under half of the voters.
    pub(crate) fn half(&self) -> usize {
        (self.voters() - 1) / 2
    }
}

fn within<T: TryFrom<u64> + Clone + Send + Sync>(
    range: std::ops::RangeInclusive<u64>,
) -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(range)
}

#[cfg(test)]
pub(super) mod tests {
    use clap::error::ErrorKind;
    use clap::{Error, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }

    pub(in super::super) fn parse<const N: usize>(arguments: [&str; N]) -> Result<Options, Error> {
        let arguments = ["demo"].into_iter().chain(arguments);
        Program::try_parse_from(arguments).map(|program| program.options)
    }

    fn refusal(flag: &str, value: &str) -> ErrorKind {
        parse([flag, value]).expect_err("the value is bad").kind()
    }

    #[test]
    fn without_flags_five_members_write_twenty_lines_each() {
        let options = parse([]).expect("there are defaults");

        assert_eq!(options.nodes, 5);
        assert_eq!(options.lines(), 100);
        assert_eq!(options.election_timeout(), Duration::from_secs(1));
        assert_eq!(options.loss, 0);
        assert_eq!(options.half(), 2);
    }

    #[test]
    fn the_dead_are_evicted_after_four_election_timeouts_and_in_the_laboratory_after_one() {
        let usual = parse(["--election-timeout", "250"]).expect("all is well");
        let lab = parse(["--lab"]).expect("all is well");
        let slow_lab = parse(["--lab", "--evict-after", "7000"]).expect("all is well");

        assert_eq!(usual.evict_after(), Duration::from_secs(1));
        assert_eq!(usual.settings().policy().voters_min(), 3);
        assert_eq!(lab.evict_after(), Duration::from_secs(1));
        assert_eq!(lab.settings().policy().voters_min(), 2);
        assert_eq!(
            slow_lab.settings().policy().evict_after(),
            Duration::from_secs(7)
        );
    }

    #[test]
    fn a_flag_wins_over_its_default() {
        let options = parse(["--nodes", "41", "--lines", "7", "--seed", "9"]).expect("all is well");

        assert_eq!(options.nodes, 41);
        assert_eq!(options.lines(), 7);
        assert_eq!(options.seed(), 9);
        assert_eq!(options.half(), 20);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert_eq!(refusal("--nodes", "0"), ErrorKind::ValueValidation);
        assert_eq!(refusal("--nodes", "102"), ErrorKind::ValueValidation);
        assert_eq!(refusal("--lines", "0"), ErrorKind::ValueValidation);
        assert_eq!(
            refusal("--election-timeout", "0"),
            ErrorKind::ValueValidation
        );
        assert_eq!(refusal("--loss", "51"), ErrorKind::ValueValidation);
        assert_eq!(refusal("--seed", "x"), ErrorKind::ValueValidation);
    }

    #[test]
    fn the_transport_is_memory_unless_members_are_processes() {
        let transport = |arguments: &[&str]| {
            let arguments = ["demo"].into_iter().chain(arguments.iter().copied());
            let program = Program::try_parse_from(arguments).expect("all is well");
            assert_eq!(program.options.conflict(), None);
            program.options.transport()
        };

        assert_eq!(transport(&[]), Transport::Memory);
        assert_eq!(transport(&["--processes"]), Transport::WebSocket);
        assert_eq!(
            transport(&["--transport", "websocket"]),
            Transport::WebSocket
        );
        assert_eq!(
            transport(&["--processes", "--transport", "webrtc"]),
            Transport::WebRtc
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_reason() {
        let why = |arguments: [&str; 3]| {
            let options = parse(arguments).expect("each is well");
            options.conflict().expect("they do not go together")
        };
        let over_sockets = "--transport=websocket";

        assert!(why([over_sockets, "--loss", "20"]).contains("loses nothing"));
        assert!(why([over_sockets, "--unproven", "--lab"]).contains("prove"));
        assert!(why(["--processes", "--memory", "--lab"]).contains("disk"));
        assert!(why(["--processes", "--nodes", "101"]).contains("at most 41"));
        assert!(why(["--processes", "--transport", "memory"]).contains("share"));
    }

    #[test]
    fn of_members_that_learn_none_counts_for_the_half() {
        let options = parse(["--nodes", "101", "--voters", "7"]).expect("all is well");
        let few = parse(["--nodes", "5", "--voters", "7"]).expect("all is well");

        assert_eq!((options.voters(), options.half()), (7, 3));
        assert_eq!((few.voters(), few.half()), (5, 2));
        assert_eq!(options.settings().policy().voters_wanted(), 7);
    }

    #[test]
    fn an_even_number_of_members_keeps_its_majority() {
        let options = parse(["--nodes", "6"]).expect("all is well");

        assert_eq!(options.half(), 2);
    }
}
