//! Clients, which are not members: how they reach the leader, what they may do, and what they are told.

use std::time::Duration;

use futures::future::join_all;
use liferaft_node::driver::{
    Client, ClientBuilder, ClientRefused, Founding, Handle, Member, ProposeError, ReadError,
    StartError, Terms, UnknownCause, UnreachedCause,
};
use liferaft_node::identity::Identity;
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::ids::{ClusterId, Index, ServerId};
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_transport::access::{Permit, Refusal};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::memory::{Delay, Faults, MemoryNetwork, Probability};
use tokio::time::Instant;

use crate::cluster::{ELECTION_TIMEOUT, config};
use crate::links::{Site, invite, patient, start};
use crate::machine::Journal;

/// A client's call takes at most so long in stories of calls that come to nothing.
const SHORT: Duration = Duration::from_secs(5);

/// The longest that a client waits to be told of what lasts: much less than the minute of its calls.
const SOON: Duration = Duration::from_secs(4);

/// Why a command was not done: no leader was reached.
fn cause<R>(written: Result<R, ProposeError>) -> UnreachedCause {
    match written {
        Err(ProposeError::Unreached(why)) => why.cause,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it was done"),
    }
}

impl Site {
    /// A client that is invited so.
    pub(crate) fn client(&self, invitation: Invitation) -> Client<Journal> {
        self.client_of(invitation, |client| client)
    }

    fn client_of<S: StateMachine>(
        &self,
        invitation: Invitation,
        prepare: impl FnOnce(ClientBuilder<S>) -> ClientBuilder<S>,
    ) -> Client<S> {
        let identity = Identity::draw();
        let end = self.network.connect(identity.clone());
        let end = end.expect("the id is free");
        let client = Client::builder(identity, end, invitation);
        let client = client.request_timeout(Duration::from_secs(60));
        prepare(client).start().expect("its transport is its own")
    }

    async fn writer(&self) -> Client<Journal> {
        self.client(invite(&self.founder, Terms::writing()).await)
    }

    /// Three members, in which nobody is evicted within a story.
    pub(crate) async fn three() -> (Self, [Handle<Journal>; 2]) {
        let site = Self::closed_and_patient().await;
        let mut others = Vec::new();
        for _ in 0..2 {
            let invitation = site.invite(1).await;
            let disk = MemoryStorage::default();
            let member = start(&site.network, &disk, |member| {
                member.invited(invitation).membership(patient())
            })
            .await;
            member.joined().await.expect("it is invited");
            others.push(member);
        }
        let others = others.try_into().expect("there are two");
        (site, others)
    }

    async fn closed_and_patient() -> Self {
        let mut site = Self::closed().await;
        site.founder.stop().await;
        site.founder = start(&site.network, &site.disk, |member| {
            member.membership(patient())
        })
        .await;
        let led = site
            .founder
            .wait_for(|status| status.leader().is_some())
            .await;
        led.expect("it leads itself");
        site
    }
}

/// The same token, in an invitation that names this member alone.
fn through(member: &Handle<Journal>, invitation: &Invitation) -> Invitation {
    let token = invitation.token().expect("it has one").clone();
    let through = Invitation::new(invitation.cluster(), [member.public_key()]);
    through.expect("there is one").with_token(token)
}

#[tokio::test(start_paused = true)]
async fn a_client_finds_the_leader_through_any_member() {
    let (site, [second, _third]) = Site::three().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let client = site.client(through(&second, &invitation));

    let written = client.propose(7).await;
    let read = client.read(()).await;

    assert_eq!((written, read), (Ok(1), Ok(vec![7])));
    assert_eq!(client.status().borrow().leader, Some(site.founder.id()));
    assert!(client.status().borrow().permit >= Some(Permit::Write));
    assert_eq!(client.status().borrow().members.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_made_together_are_each_done_once() {
    let (site, _others) = Site::three().await;
    let client = site.writer().await;

    let written = join_all((0..500).map(|number| client.propose(number))).await;
    let read = client.read(()).await;

    let mut places: Vec<_> = written.into_iter().map(Result::unwrap).collect();
    places.sort_unstable();
    assert_eq!(places, (1..=500).collect::<Vec<_>>());
    let mut numbers = read.expect("there is a leader");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_while_the_leader_dies_is_done_once() {
    let (site, [second, _third]) = Site::three().await;
    let client = site.writer().await;
    client.propose(0).await.expect("there is a leader");

    let writing = (1..100).map(|number| {
        let client = &client;
        async move {
            tokio::time::sleep(Duration::from_millis(10 * number)).await;
            client.propose(number).await
        }
    });
    let dying = async {
        tokio::time::sleep(Duration::from_millis(505)).await;
        site.network.kill(site.founder.id());
    };
    let (written, ()) = futures::join!(join_all(writing), dying);

    let mut numbers = second.read(()).await.expect("two are left");
    numbers.sort_unstable();
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

// The link to a leader that falls silent is down after 5 s only. The next leader tells its clients before.
#[tokio::test(start_paused = true)]
async fn a_client_follows_before_the_link_to_a_silent_leader_is_down() {
    let (site, _others) = Site::three().await;
    let client = site.writer().await;
    client.propose(1).await.expect("there is a leader");
    let all = client.wait_for(|status| status.links == 3).await;
    all.expect("it links to all");

    site.network.kill(site.founder.id());
    let asked = Instant::now();
    let written = client.propose(2).await;

    let took = asked.elapsed();
    assert_eq!(written, Ok(2));
    assert!(took < 4 * ELECTION_TIMEOUT, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn commands_are_done_once_over_a_network_that_loses_a_fifth() {
    let (site, _others) = Site::three().await;
    let client = site.writer().await;
    let delay = Delay::uniform(Duration::from_millis(1)..=Duration::from_millis(30));
    let radio = Faults::none()
        .with_loss(Probability::percent(20))
        .with_reordering(Probability::percent(20))
        .with_delay(delay);
    site.network.set_faults(radio);

    for number in 0..50 {
        client.propose(number).await.expect("a minute is enough");
    }

    let read = client.read(()).await;
    assert_eq!(read, Ok((0..50).collect()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_read_may_not_write() {
    let site = Site::closed().await;
    let client = site.client(invite(&site.founder, Terms::reading()).await);

    let written = client.propose(7).await;
    let read = client.read(()).await;

    let refused = ProposeError::Refused(ClientRefused::ReadOnly);
    assert_eq!((written, read), (Err(refused), Ok(vec![])));
    assert_eq!(client.status().borrow().permit, Some(Permit::Read));
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_keys_does_nothing_for_a_limited_client() {
    let site = Site::closed().await;
    let terms = Terms::writing().within_prefixes(["camp/"]);
    let terms = terms.expect("it is short");
    let client = site.client(invite(&site.founder, terms).await);

    let (written, read) = (client.propose(7).await, client.read(()).await);

    let refused = ClientRefused::OutOfScope;
    assert_eq!(written, Err(ProposeError::Refused(refused)));
    assert_eq!(read, Err(ReadError::Refused(refused)));
    assert_eq!(site.founder.read(()).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_less_gets_less() {
    let site = Site::closed().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let client = site.client_of::<Journal>(invitation, ClientBuilder::read_only);

    let written = client.propose(7).await;

    let refused = ProposeError::Refused(ClientRefused::ReadOnly);
    assert_eq!(written, Err(refused));
}

#[tokio::test(start_paused = true)]
async fn who_holds_no_invitation_is_told_so_soon() {
    let site = Site::closed().await;
    let client = site.client(site.founder.contact());
    let asked = Instant::now();

    let (written, read) = (client.propose(7).await, client.read(()).await);

    let took = asked.elapsed();
    assert!(took < SOON, "{took:?}");
    assert_eq!(cause(written), UnreachedCause::Refused(Refusal::NotOpen));
    let Err(ReadError::Unreached(why)) = read else {
        panic!("it was read: {read:?}");
    };
    assert_eq!(why.tried.len(), 1);
    assert!(why.tried[0].error.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_invitation_to_join_is_told_from_others_at_once() {
    let site = Site::closed().await;
    let client = site.client(site.invite(1).await);
    let asked = Instant::now();

    let written = client.propose(7).await;

    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let refused = UnreachedCause::Refused(Refusal::RoleNotGranted);
    assert_eq!(cause(written), refused);
}

#[tokio::test(start_paused = true)]
async fn an_open_cluster_serves_whoever_comes() {
    let site = Site::founded(|founding| founding).await;
    let client = site.client(site.founder.contact());

    assert_eq!(client.propose(7).await, Ok(1));
    assert_eq!(client.read(()).await, Ok(vec![7]));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_cut_off_when_its_invitation_is_revoked() {
    let (site, _others) = Site::three().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let token = invitation.token().expect("it has one").key();
    let client = site.client(invitation);
    client.propose(7).await.expect("it may write");

    site.founder.revoke(token).await.expect("it is known");
    let gone = client.wait_for(|status| status.links == 0).await;
    let asked = Instant::now();
    let written = client.propose(8).await;

    assert!(gone.is_ok());
    let took = asked.elapsed();
    assert!(took < SOON, "{took:?}");
    let refused = UnreachedCause::Refused(Refusal::TokenUnknown);
    assert_eq!(cause(written), refused);
    assert_eq!(site.founder.read(()).await, Ok(vec![7]));
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_invitation_has_expired_is_told_so() {
    let site = Site::closed().await;
    let terms = Terms::writing().with_valid_for(Duration::from_secs(60));
    let client = site
        .client(invite(&site.founder, terms).await)
        .within(SHORT);
    client.propose(7).await.expect("it may write");

    tokio::time::sleep(Duration::from_secs(120)).await;
    let written = client.propose(8).await;

    let over = ProposeError::Refused(ClientRefused::TokenOver);
    assert_eq!(written, Err(over));
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_nothing_is_done_and_the_client_is_told_so() {
    let (site, [second, third]) = Site::three().await;
    let client = site.writer().await.within(SHORT);
    client.propose(1).await.expect("there is a majority");
    for member in [&second, &third] {
        site.network.kill(member.id());
    }
    tokio::time::sleep(20 * ELECTION_TIMEOUT).await;

    let (written, read) = (client.propose(2).await, client.read(()).await);

    let no_leader = |cause| matches!(cause, UnreachedCause::NoLeader { members: 1, .. });
    assert!(no_leader(cause(written)));
    assert!(matches!(read, Err(ReadError::Unreached(why)) if no_leader(why.cause)));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_in_a_log_is_unknown_at_the_deadline() {
    let (site, [second, third]) = Site::three().await;
    let client = site.writer().await;
    client.propose(1).await.expect("there is a majority");
    for member in [&second, &third] {
        site.network.kill(member.id());
    }

    let written = client.within(ELECTION_TIMEOUT / 4).propose(2).await;

    let unknown = ProposeError::Unknown(UnknownCause::NoReply);
    assert_eq!(written, Err(unknown));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_lags_behind_ends_no_call() {
    let (site, [second, _third]) = Site::three().await;
    site.network.cut(site.founder.id(), second.id());
    let invitation = invite(&site.founder, Terms::writing()).await;
    let client = site.client(through(&second, &invitation));

    let (written, ()) = futures::join!(client.propose(7), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        site.network.heal_all();
    });

    assert_eq!(written, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_says_why_no_reply_came() {
    let (site, [second, third]) = Site::three().await;
    let client = site.writer().await.within(SHORT);
    client.propose(1).await.expect("there is a majority");
    for member in [&second, &third] {
        site.network.kill(member.id());
    }

    let written = client.propose(2).await;

    let Err(ProposeError::Unknown(UnknownCause::Unreached(why))) = written else {
        panic!("its outcome is unknown: {written:?}");
    };
    assert!(matches!(why.cause, UnreachedCause::NoLeader { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lost_all_members_finds_them_again() {
    let (site, [second, third]) = Site::three().await;
    let client = site.writer().await;
    client.propose(1).await.expect("there is a majority");
    let members = [site.founder.id(), second.id(), third.id()];
    let cut = |member: &ServerId| {
        site.network.cut(client.id(), *member);
        site.network.cut(*member, client.id());
    };
    members.iter().for_each(cut);
    let lost = client.wait_for(|status| status.links == 0).await;

    let (written, ()) = futures::join!(client.propose(2), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        site.network.heal_all();
    });

    assert!(lost.is_ok());
    assert_eq!(written, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_cluster_is_told_so_soon() {
    let site = Site::closed().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let token = invitation.token().expect("it has one").clone();
    let elsewhere = Invitation::new(ClusterId(0xe1), [site.founder.public_key()]);
    let elsewhere = elsewhere.expect("there is one").with_token(token);
    let client = site.client(elsewhere);
    let asked = Instant::now();

    let written = client.propose(7).await;

    let took = asked.elapsed();
    assert!(took < SOON, "{took:?}");
    assert_eq!(cause(written), UnreachedCause::OtherCluster);
    assert_eq!(site.founder.read(()).await, Ok(vec![]));
}

/// A state machine that no member runs.
#[derive(Default)]
struct Other;

impl StateMachine for Other {
    type Command = String;
    type Reply = u64;
    type Query = String;
    type Answer = Vec<u64>;

    fn apply(&mut self, _: ApplyContext, _: String) -> u64 {
        0
    }

    fn query(&self, _: String) -> Vec<u64> {
        Vec::new()
    }

    fn snapshot(&self) -> impl Capture {
        Vec::new
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_none_of_the_state_machine_is_refused() {
    let site = Site::closed().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let client = site.client_of::<Other>(invitation, |client| client);

    let written = client.propose("garbage".to_owned()).await;
    let read = client.read("garbage".to_owned()).await;

    let refused = ClientRefused::NotUnderstood;
    assert_eq!(written, Err(ProposeError::Refused(refused)));
    assert_eq!(read, Err(ReadError::Refused(refused)));
    assert_eq!(site.founder.read(()).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_command_beyond_the_longest_is_not_sent() {
    let site = Site::closed().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let client = site.client_of::<Other>(invitation, |client| client);
    let connected = client.wait_for(|status| status.is_connected).await;
    connected.expect("there is a leader");

    let written = client.propose("x".repeat(2 << 20)).await;

    assert!(matches!(written, Err(ProposeError::TooLarge { .. })));
}

#[tokio::test(start_paused = true)]
async fn clients_stop_with_their_last_handle() {
    let site = Site::closed().await;
    let client = site.writer().await;
    client.propose(1).await.expect("there is a leader");
    let mut status = client.status();

    drop(client);

    while status.changed().await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_the_entry_that_it_names() {
    let (site, _others) = Site::three().await;
    let client = site.writer().await;
    // Its session is open then, so that the next entry is its next command.
    site.founder.propose(1).await.expect("it leads");
    tokio::time::sleep(ELECTION_TIMEOUT).await;
    let applied = site.founder.status().borrow().applied();
    let asked = Instant::now();

    let reading = client.read_after((), applied.next());
    let writing = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        site.founder.propose(2).await
    };
    let (read, written) = futures::join!(reading, writing);

    assert_eq!((read, written), (Ok(vec![1, 2]), Ok(2)));
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(20_200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_built_for_clients_serves_none() {
    let network = MemoryNetwork::new(1);
    let mut disk = MemoryStorage::default();
    let founding = Founding::by(disk.identity()).closed();
    founding.found(&mut disk).await.expect("the disk is blank");
    let end = network.connect(disk.identity().clone());
    let member = Member::builder(Journal::default(), end.expect("it is free"), disk);
    let founder = member.config(config()).start().await.expect("it starts");
    let invitation = invite(&founder, Terms::writing()).await;
    let identity = Identity::draw();
    let end = network.connect(identity.clone()).expect("it is free");
    let client = Client::<Journal>::builder(identity, end, invitation).start();
    let client = client.expect("its transport is its own");

    let (written, read) = (client.propose(7).await, client.read(()).await);

    let refused = ClientRefused::NotServed;
    assert_eq!(written, Err(ProposeError::Refused(refused)));
    assert_eq!(read, Err(ReadError::Refused(refused)));
}

#[tokio::test(start_paused = true)]
async fn a_client_needs_links_that_prove_who_it_is() {
    let network = MemoryNetwork::new(1);
    let identity = Identity::draw();
    let plain = network.attach(identity.id()).expect("it is free");
    let invitation = Invitation::new(ClusterId(7), [identity.public_key()]);

    let started = Client::<Journal>::builder(identity, plain, invitation.expect("one is there"));

    assert!(matches!(started.start(), Err(StartError::NothingProven)));
}

// Whoever could only read filled what the leader has room for, for as long as queries wait, and nobody could write.
#[tokio::test(start_paused = true)]
async fn readers_leave_room_for_writers() {
    let site = Site::closed().await;
    let (invitation, writer) = (
        invite(&site.founder, Terms::reading()).await,
        site.writer().await,
    );
    let readers: Vec<_> = (0..9).map(|_| site.client(invitation.clone())).collect();
    let of_reader = |reader: &'_ Client<Journal>| {
        let reader = reader.clone();
        (0..4096).map(move |_| {
            let reader = reader.clone();
            async move { reader.read_after((), Index(1_000_000)).await }
        })
    };
    let waiting = join_all(readers.iter().flat_map(of_reader));

    let written = tokio::select! {
        _ = waiting => panic!("nobody writes so much"),
        written = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            writer.within(SHORT).propose(1).await
        } => written,
    };

    assert_eq!(written, Ok(1));
}
