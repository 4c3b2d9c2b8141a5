//! Refuses those who are not who they say: members of other clusters, holders of copied invitations, and joiners that
//! speak as leaders.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use liferaft_node::driver::{Exclusion, Founding, Terms};
use liferaft_node::identity::Identity;
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_platform::{Boot, ServerId, Versions};
use liferaft_raft::configuration::{Description, TokenFault};
use liferaft_raft::consensus::{MembershipChange, Refusal as MessageRefusal};
use liferaft_raft::ids::{ClusterId, Index, LogPosition, Round, Term};
use liferaft_raft::message::{AppendEntries, Body, Message, ReplyWanted, RequestVote, Token};
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::DeliveryClass;
use liferaft_transport::access::{Authorizer, Claimant, Grant, Permit, Refusal, Role};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::handshake::HandshakeError;
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::{Credentials, Link, LinkError, LinkEvent, Wanted};
use tokio::time::sleep;

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{Site, excluded, invite, names, start};

/// Takes everybody for a member.
struct Credulous;

impl Authorizer for Credulous {
    fn authorize(&self, _: &Claimant) -> Result<Grant, Refusal> {
        let role = Role::Member;
        Ok(Grant { role })
    }
}

/// An end of links whose frames a story makes up.
pub(crate) struct Impostor {
    end: Endpoint,
    pub(crate) events: VecDeque<LinkEvent>,
    cluster: ClusterId,
}

impl Impostor {
    /// Dials a member, as what the invitation allows, or as a member if there is none.
    fn new(site: &Site, to: ServerId, invitation: Option<&Invitation>) -> Self {
        let identity = MemoryStorage::default().identity().clone();
        Self::with(site, identity, to, invitation)
    }

    /// Dials a member as a client that may write.
    pub(crate) fn client(
        site: &Site,
        identity: Identity,
        to: ServerId,
        invitation: &Invitation,
    ) -> Self {
        let role = Role::Client(Permit::Write);
        Self::claiming(site, (identity, role), to, Some(invitation))
    }

    /// The same, by the identity of another, as one that has started often since.
    fn with(
        site: &Site,
        identity: Identity,
        to: ServerId,
        invitation: Option<&Invitation>,
    ) -> Self {
        let role = invitation.map_or(Role::Member, |_| Role::Joiner);
        Self::claiming(site, (identity, role), to, invitation)
    }

    fn claiming(
        site: &Site,
        (identity, role): (Identity, Role),
        to: ServerId,
        invitation: Option<&Invitation>,
    ) -> Self {
        let key = identity.public_key();
        let mut end = site.network.connect(identity).expect("it is free");
        let cluster = site.founder.cluster();
        let credentials = Credentials {
            cluster,
            key,
            versions: Versions::only(1),
            starts: Boot {
                number: 1_000,
                nonce: 1,
            }
            .into(),
            vouchers: Arc::new([]),
            role,
            token: invitation.and_then(Invitation::token).cloned(),
        };
        end.introduce(credentials, Arc::new(Credulous));
        end.want(&[Wanted {
            peer: to,
            keys: Vec::new(),
            addresses: Vec::new(),
        }]);
        let events = VecDeque::new();
        Self {
            end,
            events,
            cluster,
        }
    }

    /// The link, or why there is none.
    pub(crate) async fn linked(&mut self) -> Result<Link, LinkError> {
        loop {
            let event = poll_fn(|context| self.end.poll_link_event(context)).await;
            match event.expect("the network is there") {
                LinkEvent::Up(link) => return Ok(*link),
                LinkEvent::Failed { error, .. } => return Err(error),
                other => self.events.push_back(other),
            }
        }
    }

    pub(crate) fn send(&mut self, to: ServerId, content: Content) {
        let cluster = self.cluster;
        let frame = Frame {
            cluster,
            to,
            content,
        };
        let sent = self
            .end
            .send(to, DeliveryClass::Datagram, frame.encode().into());
        sent.expect("the link is up");
    }

    /// Whatever it is sent within some time.
    pub(crate) async fn received(&mut self, within: Duration) -> usize {
        let until = tokio::time::Instant::now() + within;
        while let Ok(Some(event)) =
            tokio::time::timeout_at(until, poll_fn(|context| self.end.poll_link_event(context)))
                .await
        {
            self.events.push_back(event);
        }
        let is_frame = |event: &&LinkEvent| matches!(event, LinkEvent::Frame { .. });
        self.events.iter().filter(is_frame).count()
    }
}

/// What a leader, and a candidate, of a far later term say.
pub(crate) fn words_of_power() -> [Content; 2] {
    let term = Term(999);
    let append = Body::AppendEntries(AppendEntries {
        round: Round(1),
        prev: LogPosition::new(Term(0), Index(0)),
        commit: Index(0),
        reply: ReplyWanted::AtOnce,
        confirmed: Round(0),
        token: Token::NONE,
        entries: Vec::new().into(),
    });
    let vote = Body::RequestVote(RequestVote {
        pre_vote: false,
        last: LogPosition::new(Term(998), Index(999)),
        leadership_transfer: true,
        campaign: term,
    });
    [append, vote].map(|body| Content::Message(Message { term, body }))
}

#[tokio::test(start_paused = true)]
async fn nobody_links_as_a_member_without_being_one() {
    let site = Site::closed().await;
    let mut impostor = Impostor::new(&site, site.founder.id(), None);

    let linked = impostor.linked().await;

    let rejected = HandshakeError::Rejected {
        refusal: Refusal::Forgotten,
        by: None,
    };
    assert_eq!(linked, Err(LinkError::Handshake(rejected)));
    assert_eq!(impostor.received(10 * ELECTION_TIMEOUT).await, 0);
    let counters = site.founder.status().borrow().counters;
    assert_eq!(counters.frames_received, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_leads_one_that_was_cut_off_without_a_voucher() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, _) = site.member().await;
    site.network.partition(&[&[third.id()]]);
    sleep(10 * ELECTION_TIMEOUT).await;
    let term = third.status().borrow().term();
    let mut impostor = Impostor::new(&site, third.id(), None);
    let us = impostor.end.local();
    site.network.partition(&[&[third.id(), us]]);

    let linked = impostor.linked().await;

    assert!(matches!(linked, Err(LinkError::Handshake(_))));
    assert_eq!(impostor.received(10 * ELECTION_TIMEOUT).await, 0);
    assert_eq!(third.status().borrow().term(), term);
    assert_eq!(third.status().borrow().leader(), None);
}

#[tokio::test(start_paused = true)]
async fn a_joiner_that_speaks_as_a_leader_moves_no_term() {
    let site = Site::closed().await;
    let invitation = site.invite(1).await;
    let mut impostor = Impostor::new(&site, site.founder.id(), Some(&invitation));
    let link = impostor.linked().await.expect("it is invited");
    let term = site.founder.status().borrow().term();

    for content in words_of_power() {
        impostor.send(site.founder.id(), content);
    }

    let refused = site.founder.wait_for(|status| {
        let refused = status.raft.refused.get(&MessageRefusal::NotAPeer);
        refused == Some(&2)
    });
    refused.await.expect("both are refused");
    assert_eq!(link.role_granted, Role::Joiner);
    assert_eq!(site.founder.status().borrow().term(), term);
    assert!(site.founder.status().borrow().is_leader());
}

#[tokio::test(start_paused = true)]
async fn a_frame_for_somebody_else_is_dropped() {
    let site = Site::closed().await;
    let invitation = site.invite(1).await;
    let mut impostor = Impostor::new(&site, site.founder.id(), Some(&invitation));
    impostor.linked().await.expect("it is invited");
    let frame = Frame {
        cluster: impostor.cluster,
        to: ServerId(7),
        content: Content::Join {
            description: Description::default(),
            token: None,
        },
    };

    let sent = impostor.end.send(
        site.founder.id(),
        DeliveryClass::Datagram,
        frame.encode().into(),
    );

    assert_eq!(sent, Ok(()));
    let dropped = |counters: &liferaft_node::driver::Counters| counters.frames_for_another_server;
    let counted = site
        .founder
        .wait_for(|status| dropped(&status.counters) == 1);
    counted.await.expect("it is counted");
}

#[tokio::test(start_paused = true)]
async fn a_joiner_joins_under_the_key_that_it_has_proven() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let invitation = site.invite(1).await;
    let mut impostor = Impostor::new(&site, site.founder.id(), Some(&invitation));
    impostor.linked().await.expect("it is invited");
    let id = impostor.end.local();

    impostor.send(
        site.founder.id(),
        Content::Join {
            description: Description::of(second.public_key()),
            token: None,
        },
    );

    let added = site
        .founder
        .wait_for(|status| status.raft.configuration.contains(id));
    let status = added.await.expect("it is taken in");
    let member = status.raft.configuration.member(id).expect("it is one");
    assert!(member.description.can_be_of(id));
    assert!(member.voucher.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_member_of_another_cluster_gets_no_answer() {
    let site = Site::closed().await;
    let mut disk = MemoryStorage::default();
    let other = Founding::by(disk.identity()).closed();
    other.found(&mut disk).await.expect("the disk is blank");
    let stranger = start(&site.network, &disk, |member| member).await;
    let elsewhere = invite(&stranger, Terms::membership()).await;
    let here = site.invite(1).await;
    let mixed = Invitation::new(site.founder.cluster(), here.inviters().to_vec());
    let token = elsewhere.token().expect("it has one").clone();
    let mixed = mixed.expect("it names somebody").with_token(token);

    let guest = site.guest(&MemoryStorage::default(), mixed).await;

    let unknown = Exclusion::Token(TokenFault::Unknown);
    assert_eq!(excluded(&guest).await, Some(unknown));
    assert_eq!(guest.status().borrow().counters.frames_received, 0);
    assert!(!names(&site.founder, guest.id()));
}

#[tokio::test(start_paused = true)]
async fn an_invitation_to_another_cluster_is_no_invitation_here() {
    let site = Site::closed().await;
    let here = site.invite(1).await;
    let elsewhere = Invitation::new(ClusterId(99), here.inviters().to_vec());
    let token = here.token().expect("it has one").clone();
    let elsewhere = elsewhere.expect("it names somebody").with_token(token);

    let guest = site.guest(&MemoryStorage::default(), elsewhere).await;

    assert_eq!(excluded(&guest).await, Some(Exclusion::NoPeer));
    assert_eq!(guest.status().borrow().counters.frames_received, 0);
}

#[tokio::test(start_paused = true)]
async fn an_invitation_expires_though_nobody_writes() {
    let site = Site::closed().await;
    let hour = Duration::from_secs(3600);
    let invitation = invite(&site.founder, Terms::membership().with_valid_for(hour)).await;
    sleep(hour + Duration::from_secs(1)).await;

    let guest = site.guest(&MemoryStorage::default(), invitation).await;

    let expired = Exclusion::Token(TokenFault::Expired);
    assert_eq!(excluded(&guest).await, Some(expired));
    assert!(!names(&site.founder, guest.id()));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_race_for_one_use_one_gets_in() {
    let site = Site::closed().await;
    let invitation = site.invite(1).await;
    let disks = [MemoryStorage::default(), MemoryStorage::default()];

    let one = site.guest(&disks[0], invitation.clone()).await;
    let other = site.guest(&disks[1], invitation).await;

    let (winner, loser) = tokio::select! {
        joined = one.joined() => { joined.expect("it is invited"); (&one, &other) }
        joined = other.joined() => { joined.expect("it is invited"); (&other, &one) }
    };
    let used_up = Exclusion::Token(TokenFault::UsedUp);
    assert_eq!(excluded(loser).await, Some(used_up));
    assert!(names(&site.founder, winner.id()) && !names(&site.founder, loser.id()));
}

/// The public half of a token is in the log. Whoever asks by it and hangs up is not taken for a peer of a transport
/// that proves nothing.
#[tokio::test(start_paused = true)]
async fn who_hangs_up_gets_in_by_nobody_elses_token() {
    let site = Site::closed().await;
    let founder = site.founder.id();
    let (others, own) = (site.invite(1).await, site.invite(1).await);
    let mut impostor = Impostor::new(&site, founder, Some(&own));
    let id = impostor.end.local();
    impostor.linked().await.expect("it is invited");
    // The link goes in the same moment as the wish.
    let key = others.token().expect("it lets in").key();
    let description = Description::of(own.inviters()[0]);
    let token = Some(key);
    impostor.send(founder, Content::Join { description, token });
    drop(impostor);
    sleep(10 * ELECTION_TIMEOUT).await;

    assert!(!names(&site.founder, id));
    let status = site.founder.status().borrow().clone();
    let left = status
        .raft
        .configuration
        .tokens()
        .iter()
        .find(|token| token.key == key)
        .map(|token| token.uses_left);
    assert_eq!(left, Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_evicted_server_deposes_no_leader() {
    let site = Site::closed().await;
    let founder = site.founder.id();
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    let id = third.id();
    third.stop().await;
    let mut impostor = Impostor::with(&site, disk.identity().clone(), founder, None);
    impostor.linked().await.expect("it is a member");
    let evicted = MembershipChange::evict(id);
    let evicted = site.founder.change_membership(evicted).await;
    evicted.expect("the others agree");
    sleep(ELECTION_TIMEOUT).await;
    let term = site.founder.status().borrow().term();

    for word in words_of_power() {
        if let Content::Message(Message {
            body: Body::RequestVote(_),
            ..
        }) = word
        {
            impostor.send(founder, word);
        }
    }
    sleep(ELECTION_TIMEOUT).await;

    assert_eq!(site.founder.status().borrow().term(), term);
}
