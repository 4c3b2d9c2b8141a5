//! Three members in one process, over the memory transport, and callers who share out what is to be done.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use liferaft::{
    ClusterId, Config, Configuration, Handle, Kv, KvHandle, Member, MemoryNetwork, ServerId,
    StateMachine,
};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What all keys hold.
pub(crate) const VALUE: Bytes = Bytes::from_static(&[7; 256]);

/// How long a caller waits: on a machine that is busy with other things a crowd of callers waits long.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many callers set the keys that there are from the beginning.
const WRITERS: usize = 64;

/// Two threads: one alone would not show what members cost each other.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started")
}

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

/// Has callers, spread over these members, make all numbers below this together, and returns how long that took.
pub(crate) async fn share_out<M: Clone, F: Future<Output = ()> + Send + 'static>(
    members: &[M],
    callers: usize,
    numbers: u64,
    caller: impl Fn(M, Share) -> F,
) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for member in members.iter().cycle().take(callers) {
        let next = Arc::clone(&next);
        tasks.spawn(caller(member.clone(), Share { next, numbers }));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a caller ends without a panic");
    }
    started.elapsed()
}

/// The numbers that fall to one caller: each takes the next when it is done with the last.
pub(crate) struct Share {
    next: Arc<AtomicU64>,
    numbers: u64,
}

impl Iterator for Share {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.numbers).then_some(number)
    }
}
