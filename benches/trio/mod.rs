//! Three members in one process, over the memory transport.

use std::time::Duration;

use bytes::Bytes;
use liferaft::{
    ClusterId, Config, Configuration, Handle, Kv, KvHandle, Member, MemoryNetwork, ServerId,
    StateMachine,
};

use crate::crowd::share_out;

/// What all keys hold.
pub(crate) const VALUE: Bytes = Bytes::from_static(&[7; 256]);

/// How long a caller waits: on a machine that is busy with other things a crowd of callers waits long.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many callers set the keys that there are from the beginning.
const WRITERS: usize = 64;

/// Three members with a state machine each, the leader first.
pub(crate) async fn started<S: StateMachine>(
    config: Config,
    machine: impl Fn() -> S,
) -> Vec<Handle<S>> {
    let network = MemoryNetwork::new(1);
    let voters = Configuration::of_voters([1, 2, 3].map(ServerId));
    let mut members = Vec::new();
    for peer in 1..=3 {
        let transport = network.attach(ServerId(peer)).expect("it is attached once");
        let member = Member::builder(ClusterId(1), machine(), transport)
            .config(config.clone())
            .request_timeout(PATIENCE)
            .bootstrap(voters.clone());
        members.push(member.start().await.expect("it starts"));
    }
    let mut status = members[0].status();
    let elected = status.wait_for(|status| status.leader().is_some()).await;
    let leader = elected.expect("the member runs").leader();
    members.sort_by_key(|member| Some(member.id()) != leader);
    members
}

/// Three members with a key-value store, the leader first, on which the first `keys` keys are set.
pub(crate) async fn elected(config: Config, key: fn(u64) -> Bytes, keys: u64) -> Vec<KvHandle> {
    let members = started(config, Kv::new).await;
    let members: Vec<_> = members.into_iter().map(KvHandle::new).collect();
    share_out(&members, WRITERS, keys, move |member, share| async move {
        for number in share {
            member.set(key(number), VALUE).await.expect("it is set");
        }
    })
    .await;
    members
}
