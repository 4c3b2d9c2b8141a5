//! Three members in one process, over the memory transport.

use std::time::Duration;

use bytes::Bytes;
use liferaft::{
    Config, Configuration, Founding, Handle, Kv, KvHandle, Member, MemoryNetwork, MemoryStorage,
    StateMachine, Storage,
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
    let disks = [(); 3].map(|()| MemoryStorage::default());
    let voters = disks.each_ref().map(|disk| disk.identity().id());
    let founding = Founding::new(Configuration::of_voters(voters));
    let mut members = Vec::new();
    for mut disk in disks {
        founding.found(&mut disk).await.expect("the disk is blank");
        let transport = network.attach(disk.identity().id());
        let transport = transport.expect("it is attached once");
        let member = Member::builder(machine(), transport, disk)
            .config(config.clone())
            .request_timeout(PATIENCE);
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
