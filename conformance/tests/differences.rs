//! Scripts in which our design decides otherwise: each difference explains its own lines, and every other wrong value
//! fails the script as it does elsewhere.

mod wrong;

use liferaft_conformance::{Verdict, judge};

/// The removed leader leads on, which is etcd's default and against §4.2.2.
const REMOVED_LEADER_LEADS_ON: &str = "
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

propose-conf-change 1 v1=true
r1
----
ok

stabilize
----
> 1 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange r1
  INFO 1 switched to configuration voters=(2 3)
> 2 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange r1
  INFO 2 switched to configuration voters=(2 3)
> 3 handling Ready
  HardState Term:1 Vote:1 Commit:7

propose 1 late
----
raft proposal dropped

raft-state
----
1: StateLeader (Non-Voter) Term:1 Lead:1
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1

status 1
----
2: StateReplicate match=7 next=8
3: StateReplicate match=7 next=8

campaign 2
----
INFO 2 became candidate at term 2

stabilize
----
> 2 handling Ready
  Lead:0 State:StateCandidate
  HardState Term:2 Vote:2 Commit:7
> 3 handling Ready
  HardState Term:2 Vote:2 Commit:7
> 2 handling Ready
  Lead:2 State:StateLeader
  HardState Term:2 Vote:2 Commit:8
  CommittedEntries:
  2/8 EntryNormal \"\"
> 3 handling Ready
  HardState Term:2 Vote:2 Commit:8
  CommittedEntries:
  2/8 EntryNormal \"\"

raft-state
----
2: StateLeader (Voter) Term:2 Lead:2
3: StateFollower (Voter) Term:2 Lead:2
";

/// The majority of the configuration before the change is not one of the configuration after it (§4.1).
const CHANGE_COUNTS_WHEN_APPLIED: &str = "
log-level none
----
ok

add-nodes 3 voters=(1,2,3) index=5 step-down-on-removal=true
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

propose-conf-change 1 v1=true
r1
----
ok

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1

process-ready 1
----
Ready MustSync=true:

stabilize 2
----
> 2 handling Ready

propose 1 left
----
ok

stabilize 1
----
> 1 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange r1
  INFO 1 switched to configuration voters=(2 3)
> 1 handling Ready
  Lead:0 State:StateFollower

raft-state
----
1: StateFollower (Non-Voter) Term:1 Lead:0
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1

stabilize
----
> 2 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange r1
  INFO 2 switched to configuration voters=(2 3)
> 3 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange r1
  INFO 3 switched to configuration voters=(2 3)

raft-state
----
1: StateFollower (Non-Voter) Term:1 Lead:0
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1
";

/// Leadership moves within a joint phase that the script keeps open, to a server without the entry that leaves it.
const JOINT_PHASE_STAYS_OPEN: &str = "
log-level none
----
ok

add-nodes 3 voters=(1,2,3) index=2
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

propose-conf-change 1 transition=explicit
r1 v4
----
ok

stabilize
----
ok

log-level info
----
ok

transfer-leadership from=1 to=4
----
INFO 1 [term 1] starts to transfer leadership to 4

stabilize
----
> 4 handling Ready
  Lead:0 State:StateCandidate
  HardState Term:2 Vote:4 Commit:4
> 1 handling Ready
  HardState Term:2 Vote:4 Commit:4
> 2 handling Ready
  HardState Term:2 Vote:4 Commit:4
> 3 handling Ready
  HardState Term:2 Vote:4 Commit:4
> 4 handling Ready
  Lead:4 State:StateLeader
  HardState Term:2 Vote:4 Commit:5
  CommittedEntries:
  2/5 EntryNormal \"\"
> 1 handling Ready
  Lead:4 State:StateFollower
  HardState Term:2 Vote:4 Commit:5
  CommittedEntries:
  2/5 EntryNormal \"\"
> 2 handling Ready
  HardState Term:2 Vote:4 Commit:5
> 3 handling Ready
  HardState Term:2 Vote:4 Commit:5

raft-state
----
1: StateFollower (Voter) Term:2 Lead:4
2: StateFollower (Voter) Term:2 Lead:4
3: StateFollower (Voter) Term:2 Lead:4
4: StateLeader (Voter) Term:2 Lead:4
";

/// A change is made while another is under way.
const CHANGE_UNCHECKED: &str = "
log-level none
----
ok

add-nodes 3 voters=(1,2,3) index=5 disable-conf-change-validation=true
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

propose-conf-change 1 v1=true
r3
----
ok

propose-conf-change 1 v1=true
l2
----
ok

stabilize
----
> 1 handling Ready
  HardState Term:1 Vote:1 Commit:8
  CommittedEntries:
  1/7 EntryConfChange r3
  1/8 EntryConfChange l2
  INFO 1 switched to configuration voters=(1 2)
  INFO 1 switched to configuration voters=(1) learners=(2)
> 2 handling Ready
  HardState Term:1 Vote:1 Commit:8
  CommittedEntries:
  1/7 EntryConfChange r3
  1/8 EntryConfChange l2
  INFO 2 switched to configuration voters=(1 2)
  INFO 2 switched to configuration voters=(1) learners=(2)

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1
2: StateFollower (Non-Voter) Term:1 Lead:1

status 1
----
1: StateReplicate match=8 next=9
2: StateReplicate match=8 next=9 learner

propose 1 apple
----
ok

stabilize
----
> 1 handling Ready
  HardState Term:1 Vote:1 Commit:9
  CommittedEntries:
  1/9 EntryNormal \"apple\"
> 2 handling Ready
  HardState Term:1 Vote:1 Commit:9
  CommittedEntries:
  1/9 EntryNormal \"apple\"

raft-log 2
----
1/6 EntryNormal \"\"
1/7 EntryConfChange r3
1/8 EntryConfChange l2
1/9 EntryNormal \"apple\"
";

/// A server becomes a voter that nothing is ever delivered to.
const JOINER_NEVER_CATCHES_UP: &str = "
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

propose-conf-change 1 v1=true
v4
----
ok

stabilize 1 2 3
----
> 1 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange v4
  INFO 1 switched to configuration voters=(1 2 3 4)
> 2 handling Ready
  HardState Term:1 Vote:1 Commit:7
  CommittedEntries:
  1/7 EntryConfChange v4
  INFO 2 switched to configuration voters=(1 2 3 4)

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1
4: StateFollower (Non-Voter) Term:0 Lead:0
";

/// Two servers ask for pre-votes at the same time, and the first is elected.
const FIRST_ASKER_WINS: &str = "
log-level info
----
ok

add-nodes 3 voters=(1,2,3) index=10 prevote=true
----
ok

campaign 1
----
INFO 1 is starting a new election at term 0

campaign 2
----
INFO 2 is starting a new election at term 0

stabilize
----
> 1 handling Ready
  Lead:0 State:StateCandidate
  HardState Term:1 Vote:1 Commit:10
> 3 handling Ready
  HardState Term:1 Vote:1 Commit:10
> 1 handling Ready
  Lead:1 State:StateLeader
  HardState Term:1 Vote:1 Commit:11
  CommittedEntries:
  1/11 EntryNormal \"\"
> 2 handling Ready
  Lead:1 State:StateFollower
  HardState Term:1 Vote:2 Commit:11
> 3 handling Ready
  Lead:1 State:StateFollower
  HardState Term:1 Vote:1 Commit:11
  CommittedEntries:
  1/11 EntryNormal \"\"

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1
2: StateFollower (Voter) Term:1 Lead:1
3: StateFollower (Voter) Term:1 Lead:1

status 1
----
1: StateReplicate match=11 next=12
2: StateReplicate match=11 next=12
3: StateReplicate match=11 next=12
";

/// The script differs for this reason and no other, and no wrong value in it goes unnoticed.
#[track_caller]
fn assert_explains_its_lines_only(script: &str, words: &str) {
    let report = judge("right.txt", script);

    let Verdict::Differs(reason) = &report.verdict else {
        panic!("it does not differ by design: {report:?}");
    };
    assert!(reason.contains(words), "{reason}");
    let (tried, missed) = wrong::unnoticed(script);
    assert!(tried > 0, "there is nothing to change");
    assert!(missed.is_empty(), "unnoticed:\n{}", missed.join("\n"));
    assert_eq!(reason.matches(": explains ").count(), 1, "{reason}");
}

#[test]
fn a_removed_leader_explains_its_own_role_and_leader_only() {
    assert_explains_its_lines_only(REMOVED_LEADER_LEADS_ON, "(§4.2.2)");
}

#[test]
fn a_change_in_force_before_it_commits_explains_its_delay_only() {
    assert_explains_its_lines_only(CHANGE_COUNTS_WHEN_APPLIED, "appended (§4.1)");
}

#[test]
fn an_entry_that_leaves_a_joint_phase_explains_one_vote_only() {
    assert_explains_its_lines_only(JOINT_PHASE_STAYS_OPEN, "(§4.3)");
}

#[test]
fn a_refused_change_explains_its_configuration_only() {
    assert_explains_its_lines_only(CHANGE_UNCHECKED, "turns that check off");
}

#[test]
fn a_joiner_that_stays_behind_explains_its_change_only() {
    assert_explains_its_lines_only(JOINER_NEVER_CATCHES_UP, "(§4.2.1)");
}

#[test]
fn two_that_ask_at_once_explain_who_leads_that_term_only() {
    assert_explains_its_lines_only(FIRST_ASKER_WINS, "at the same time");
}
