//! Traps of servers that come back with an empty disk under the id that belonged to what was on it (invariant 3 of the
//! design: an id is never used without its storage).

use crate::cluster::{Cluster, ELECTION_TIMEOUT, ONE_COMMAND};

/// The vote of a server that had lost its disk made a leader of one that lacked what was committed: two state machines
/// applied different entries.
#[test]
fn a_blank_server_elects_nobody_over_what_it_has_forgotten() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_on([1, 2], "a");

    cluster.wipe(2);
    cluster.crash(1);
    cluster.heal();
    cluster.run_for(10 * ELECTION_TIMEOUT);
    cluster.assert_no_leader();
    cluster.restart(1);
    cluster.elect(1);
    cluster.commit(1, "b");

    cluster.assert_leader(1);
    cluster.assert_applied_everywhere("a");
}
