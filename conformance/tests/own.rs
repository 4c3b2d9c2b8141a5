//! Scripts of our own: each command of the format, and expectations that are wrong, which must be found out.

use std::fs;

use liferaft_conformance::{FileReport, Verdict, judge, judge_folder};

/// Three voters, of which 1 leads in term 1, and one command is committed.
const BASIC: &str = "
log-level none
----
ok

add-nodes 3 voters=(1,2,3) index=5
----
ok

campaign 1
----
ok

stabilize
----
ok

log-level info
----
ok

propose 1 apple
----
ok

stabilize
----
> 1 handling Ready
  Ready MustSync=false:
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryNormal \"apple\"

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1

raft-log 2
----
1/6 EntryNormal \"\"
1/7 EntryNormal \"apple\"

status 1
----
1: StateReplicate match=7 next=8
2: StateReplicate match=7 next=8
3: StateReplicate match=7 next=8
";

/// 3 is removed and 4 becomes a learner, by one change.
const MEMBERSHIP: &str = "
log-level none
----
ok

add-nodes 3 voters=(1,2,3) index=5
----
ok

campaign 1
----
ok

stabilize
----
ok

add-nodes 1
----
ok

log-level info
----
ok

propose-conf-change 1 transition=implicit
r3 l4
----
ok

stabilize
----
> 1 handling Ready
  HardState Term:1 Vote:1 Commit:8
  CommittedEntries:
  1/7 EntryConfChangeV2 r3 l4
  1/8 EntryConfChangeV2
  INFO 1 switched to configuration voters=(1 2) learners=(4)
> 4 handling Ready
  Lead:1 State:StateFollower
  HardState Term:1 Commit:8
  INFO 4 switched to configuration voters=(1 2) learners=(4)
";

fn judged(script: &str) -> FileReport {
    judge("own.txt", script)
}

fn reason(report: &FileReport) -> &str {
    match &report.verdict {
        Verdict::Agreed => panic!("it agreed"),
        Verdict::Differs(reason) | Verdict::Failed(reason) => reason,
    }
}

#[track_caller]
fn assert_agrees(script: &str) {
    let report = judged(script);

    assert_eq!(report.verdict, Verdict::Agreed);
    assert!(report.facts > 0, "nothing was compared");
}

/// With this expectation changed, the script fails, and says so with these words.
#[track_caller]
fn assert_found_out(script: &str, right: &str, wrong: &str, words: &str) {
    assert!(script.contains(right), "`{right}` is not in the script");

    let report = judged(&script.replacen(right, wrong, 1));

    assert!(matches!(report.verdict, Verdict::Failed(_)), "{report:?}");
    assert!(reason(&report).contains(words), "{}", reason(&report));
}

#[test]
fn what_is_right_agrees() {
    assert_agrees(BASIC);
    assert_agrees(MEMBERSHIP);
}

#[test]
fn a_wrong_role_term_leader_or_vote_is_found_out() {
    let two = "2: StateFollower (Voter) Term:1 Lead:1";

    assert_found_out(BASIC, two, "2: StateLeader (Voter) Term:1 Lead:1", "role");
    assert_found_out(BASIC, two, "2: StateFollower (Voter) Term:2 Lead:1", "term");
    assert_found_out(
        BASIC,
        two,
        "2: StateFollower (Voter) Term:1 Lead:3",
        "leader",
    );
    assert_found_out(
        BASIC,
        two,
        "2: StateFollower (Non-Voter) Term:1 Lead:1",
        "votes",
    );
    assert_found_out(BASIC, "Vote:1 Commit:7", "Vote:2 Commit:7", "vote");
}

#[test]
fn a_wrong_log_is_found_out() {
    let last = "1/7 EntryNormal \"apple\"\n\nstatus";

    assert_found_out(BASIC, last, "2/7 EntryNormal \"apple\"\n\nstatus", "log");
    assert_found_out(BASIC, last, "1/7 EntryNormal \"pear\"\n\nstatus", "log");
    assert_found_out(BASIC, last, "1/8 EntryNormal \"apple\"\n\nstatus", "log");
    assert_found_out(BASIC, last, "\nstatus", "log");
}

#[test]
fn a_wrong_committed_entry_or_commit_index_is_found_out() {
    let entry = "1/7 EntryNormal \"apple\"";

    assert_found_out(BASIC, entry, "1/7 EntryNormal \"pear\"", "not committed");
    assert_found_out(BASIC, entry, "2/7 EntryNormal \"apple\"", "not committed");
    assert_found_out(BASIC, "Commit:7", "Commit:8", "");
    assert_found_out(BASIC, "Commit:7", "Commit:6", "commit index");
}

#[test]
fn a_wrong_match_is_found_out() {
    let three = "3: StateReplicate match=7 next=8";

    assert_found_out(BASIC, three, "3: StateReplicate match=6 next=7", "match");
    assert_found_out(BASIC, three, "3: StateReplicate match=8 next=9", "match");
    assert_found_out(
        BASIC,
        three,
        "3: StateReplicate match=7 next=8 learner",
        "learner",
    );
    assert_found_out(BASIC, three, "", "replicates to");
}

#[test]
fn a_wrong_configuration_is_found_out() {
    let right = "INFO 4 switched to configuration voters=(1 2) learners=(4)";
    let voter = "INFO 4 switched to configuration voters=(1 2 4)";
    let kept = "INFO 4 switched to configuration voters=(1 2 3) learners=(4)";

    assert_found_out(MEMBERSHIP, right, voter, "configuration");
    assert_found_out(MEMBERSHIP, right, kept, "configuration");
}

#[test]
fn a_wrong_answer_to_a_proposal_is_found_out() {
    let taken = "propose 1 apple\n----\nok";

    assert_found_out(
        BASIC,
        taken,
        "propose 1 apple\n----\nraft proposal dropped",
        "dropped expected",
    );
}

#[test]
fn a_proposal_without_a_leader_is_dropped() {
    assert_agrees(
        "add-nodes 2 voters=(1,2) index=5\n----\nok\n\npropose 1 x\n----\nraft proposal dropped\n",
    );
}

#[test]
fn an_unknown_command_argument_or_server_fails_that_file() {
    let reasons = [
        ("dance 1\n----\nok\n", "unknown command `dance`"),
        (
            "add-nodes 1 colour=red\n----\nok\n",
            "knows no argument `colour`",
        ),
        (
            "add-nodes 1 voters=(1) index=one\n----\nok\n",
            "not a number",
        ),
        ("campaign 7\n----\nok\n", "there is no server 7"),
        ("log-level loud\n----\nok\n", "no log level"),
        ("deliver-msgs 1 type=MsgParty\n----\nok\n", "no message"),
        ("raft-state\n----\nnonsense\n", "cannot read"),
        ("campaign 1", "followed by no"),
    ];

    for (script, expected) in reasons {
        let report = judged(script);
        assert!(matches!(report.verdict, Verdict::Failed(_)), "{report:?}");
        assert!(reason(&report).contains(expected), "{}", reason(&report));
    }
}

/// A removed leader that goes on leading is etcd's default, and against §4.2.2.
#[test]
fn a_removed_leader_that_leads_on_differs_by_design() {
    let report = judged(
        "log-level none\n----\nok\n\nadd-nodes 3 voters=(1,2,3) index=5\n----\nok\n\ncampaign 1\n----\nok\n\n\
         stabilize\n----\nok\n\nlog-level info\n----\nok\n\n\
         propose-conf-change 1 v1=true\nr1\n----\nok\n\nstabilize log-level=none\n----\nok\n\nraft-state\n----\n\
         1: StateLeader (Non-Voter) Term:1 Lead:1\n2: StateFollower (Voter) Term:1 Lead:1\n",
    );

    assert!(matches!(report.verdict, Verdict::Differs(_)), "{report:?}");
    assert!(reason(&report).contains("4.2.2"));
}

#[test]
fn leadership_moves_within_a_joint_phase_that_the_script_keeps_open() {
    assert_agrees(
        "log-level none\n----\nok\n\nadd-nodes 3 voters=(1,2,3) index=2\n----\nok\n\ncampaign 1\n----\nok\n\n\
         stabilize\n----\nok\n\nadd-nodes 1\n----\nok\n\npropose-conf-change 1 transition=explicit\nr1 v4\n----\nok\n\n\
         stabilize\n----\nok\n\ntransfer-leadership 1 4\n----\nok\n\nstabilize\n----\nok\n\nlog-level info\n----\nok\n\n\
         raft-state\n----\n1: StateFollower (Voter) Term:2 Lead:4\n2: StateFollower (Voter) Term:2 Lead:4\n\
         3: StateFollower (Voter) Term:2 Lead:4\n4: StateLeader (Voter) Term:2 Lead:4\n\n\
         propose-conf-change 4\n----\nok\n\nstabilize log-level=none\n----\nok\n\nraft-state\n----\n\
         1: StateFollower (Non-Voter) Term:2 Lead:4\n4: StateLeader (Voter) Term:2 Lead:4\n",
    );
}

#[test]
fn a_leader_hands_over_when_the_script_says_so() {
    let script = |transfer: &str| {
        format!(
            "log-level none\n----\nok\n\nadd-nodes 3 voters=(1,2,3) index=2\n----\nok\n\ncampaign 1\n----\nok\n\n\
         stabilize\n----\nok\n\nlog-level info\n----\nok\n\n{transfer}\n----\nok\n\n\
         stabilize log-level=none\n----\nok\n\nraft-state\n----\n1: StateFollower (Voter) Term:2 Lead:3\n\
         3: StateLeader (Voter) Term:2 Lead:3\n",
        )
    };

    assert_agrees(&script("transfer-leadership from=1 to=3"));
    assert_agrees(&script("transfer-leadership to=3 from=1"));
    assert_agrees(&script("transfer-leadership 1 3"));
    // A follower passes it on to its leader.
    assert_agrees(&script("transfer-leadership from=2 to=3"));
}

#[test]
fn a_transfer_names_one_server_that_is_and_one_that_will_be_leader() {
    let reasons = [
        ("transfer-leadership from=1", "wants one `to`"),
        ("transfer-leadership from=1 to=2 to=1", "wants one `to`"),
        ("transfer-leadership 1 from=1 to=2", "with 1 words"),
        ("transfer-leadership from=1 to=3", "there is no server 3"),
        (
            "transfer-leadership from=1 via=2",
            "knows no argument `via`",
        ),
    ];

    for (transfer, expected) in reasons {
        let report = judged(&format!(
            "add-nodes 2 voters=(1,2) index=5\n----\nok\n\n{transfer}\n----\nok\n"
        ));
        assert!(matches!(report.verdict, Verdict::Failed(_)), "{report:?}");
        assert!(reason(&report).contains(expected), "{}", reason(&report));
    }
}

#[test]
fn a_folder_may_hold_the_scripts_further_down() {
    let folder = std::env::temp_dir().join(format!("liferaft-conformance-{}", std::process::id()));
    let within = folder.join("etcd-raft/interaction");
    fs::create_dir_all(&within).expect("a folder");
    fs::write(within.join("own.txt"), BASIC).expect("a script");
    fs::write(within.join("notes.md"), "no script").expect("a file");

    let from_above = judge_folder(&folder);
    let from_within = judge_folder(&within);

    fs::remove_dir_all(&folder).expect("it is there");
    let from_above = from_above.expect("it can be read");
    assert_eq!(from_above.len(), 1);
    assert_eq!(from_above[0].verdict, Verdict::Agreed);
    assert_eq!(from_above, from_within.expect("it can be read"));
}

#[test]
fn a_follower_that_forgot_its_leader_gives_a_pre_vote_that_a_loyal_one_refuses() {
    let script = |forget: &str, state: &str| {
        format!(
            "log-level none\n----\nok\n\nadd-nodes 3 voters=(1,2,3) index=10 prevote=true checkquorum=true\n----\nok\n\n\
             campaign 1\n----\nok\n\nstabilize\n----\nok\n\nlog-level debug\n----\nok\n\n{forget}\
             campaign 3\n----\nok\n\nstabilize log-level=none\n----\nok\n\nraft-state\n----\n{state}\n"
        )
    };

    assert_agrees(&script("", "1: StateLeader (Voter) Term:1 Lead:1"));
    assert_agrees(&script(
        "forget-leader 2\n----\nok\n\n",
        "3: StateLeader (Voter) Term:2 Lead:3",
    ));
    assert_agrees(&script(
        "set-randomized-election-timeout 2 timeout=5\n----\nok\n\ntick-election 2\n----\nok\n\n",
        "3: StateLeader (Voter) Term:2 Lead:3",
    ));
}

#[test]
fn the_remaining_commands_and_arguments_run() {
    assert_agrees(
        "_breakpoint\n----\nok\n\nlog-level none\n----\nok\n\n\
         add-nodes 3 voters=(1,2) learners=(3) index=10 inflight=2 content=seed async-storage-writes=true \
         max-committed-size-per-ready=1 disable-conf-change-validation=false read-only=safe step-down-on-removal=true\n----\nok\n\n\
         campaign 1\n----\nok\n\nstabilize\n----\nok\n\npropose 2 forwarded\n----\nok\n\nstabilize\n----\nok\n\n\
         propose 1 direct\n----\nok\n\nprocess-ready 1 2\n----\nok\n\ndeliver-msgs 2 type=MsgApp drop=(3)\n----\nok\n\n\
         process-append-thread 1 2\n----\nok\n\nprocess-apply-thread 1 2\n----\nok\n\nreport-unreachable 1 3\n----\nok\n\n\
         tick-heartbeat 1\n----\nok\n\nstabilize\n----\nok\n\ncompact 1 13\n----\nok\n\nsend-snapshot 1 3\n----\nok\n\n\
         stabilize\n----\nok\n\nlog-level error\n----\nok\n\nstatus 1\n----\n1: StateReplicate match=13 next=14\n\
         2: StateReplicate match=13 next=14\n3: StateReplicate match=13 next=14 learner\n\nraft-log 2\n----\n\
         1/11 EntryNormal \"\"\n1/12 EntryNormal \"forwarded\"\n1/13 EntryNormal \"direct\"\n",
    );
}

#[test]
fn what_a_lost_message_leaves_out_is_made_up_for_when_the_next_shows_the_gap() {
    assert_agrees(
        "log-level none\n----\nok\n\n\
         add-nodes 3 voters=(1,2,3) index=10\n----\nok\n\n\
         campaign 1\n----\nok\n\n\
         stabilize\n----\nok\n\n\
         propose 1 a\n----\nok\n\n\
         process-ready 1\n----\nok\n\n\
         deliver-msgs drop=3\n----\nok\n\n\
         stabilize\n----\nok\n\n\
         propose 1 b\n----\nok\n\n\
         stabilize\n----\nok\n\n\
         log-level info\n----\nok\n\n\
         status 1\n----\n1: StateReplicate match=13 next=14\n2: StateReplicate match=13 next=14\n3: StateReplicate match=13 next=14\n",
    );
}
