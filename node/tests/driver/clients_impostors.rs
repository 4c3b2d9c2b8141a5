//! Clients that send what they may not: words of members, and commands in the name of others.

use bytes::Bytes;
use liferaft_node::driver::Terms;
use liferaft_node::identity::Identity;
use liferaft_raft::configuration::TokenKey;
use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::sessions::{
    CommandHeader, OWNED_HEADER_BYTES, Owner, TOKEN_SESSIONS_MAX, ordered_registration,
    owned_registration, registration,
};
use liferaft_raft::wire::{ClientAnswer, ClientAsk, CommandOutcome, Content, Decline, Frame};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::LinkEvent;

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{Site, invite};
use crate::links_impostors::{Impostor, words_of_power};

/// A client of a closed cluster of one, whose frames a story makes up.
async fn client(site: &Site, identity: Identity) -> Impostor {
    let invitation = invite(&site.founder, Terms::writing()).await;
    let mut client = Impostor::client(site, identity, site.founder.id(), &invitation);
    client.linked().await.expect("it is invited");
    client
}

/// What a client is answered to commands that it sends at once.
async fn answers(
    client: &mut Impostor,
    to: ServerId,
    request: u64,
    commands: Vec<Bytes>,
) -> Vec<ClientAnswer> {
    client.events.clear();
    let ask = ClientAsk::Commands(commands);
    client.send(to, Content::ClientRequest { request, ask });
    client.received(ELECTION_TIMEOUT).await;
    let frames = client.events.iter().filter_map(|event| match event {
        LinkEvent::Frame { frame, .. } => Frame::decode(frame.clone().into_bytes()).ok(),
        _ => None,
    });
    let answers = frames.filter_map(|frame| match frame.content {
        Content::ClientReply { answer, .. } => Some(answer),
        _ => None,
    });
    answers.collect()
}

/// The owner that a client names, as it does not name its token.
const fn untokened(id: ServerId) -> Owner {
    Owner { id, token: None }
}

/// What becomes of commands of a client that comes by this invitation for them alone.
async fn outcomes(
    site: &Site,
    identity: Identity,
    invitation: &Invitation,
    commands: Vec<Bytes>,
) -> Vec<CommandOutcome> {
    let founder = site.founder.id();
    let mut client = Impostor::client(site, identity, founder, invitation);
    client.linked().await.expect("it is invited");
    let answers = answers(&mut client, founder, 1, commands).await;
    let outcomes = answers.into_iter().flat_map(|answer| match answer {
        ClientAnswer::Outcomes(outcomes) => outcomes,
        other => panic!("{other:?}"),
    });
    outcomes.collect()
}

/// Opens the session of a client that comes by this invitation.
async fn session(site: &Site, identity: Identity, invitation: &Invitation) -> Index {
    let registration = owned_registration(untokened(identity.id()), 1);
    let opened = outcomes(site, identity, invitation, vec![registration.into()]).await;
    match opened[..] {
        [CommandOutcome::Registered { session, .. }] => session,
        ref other => panic!("{other:?}"),
    }
}

/// A command under the first session of a cluster, in the name of this client.
fn command(owner: ServerId, session: Index, sequence: u64, number: u8) -> Bytes {
    let mut bytes = vec![0; OWNED_HEADER_BYTES];
    let header = CommandHeader {
        session,
        sequence,
        acknowledged_through: 0,
    };
    header.write_owned_to(owner, &mut bytes);
    bytes.push(number);
    bytes.into()
}

#[tokio::test(start_paused = true)]
async fn a_client_says_nothing_that_members_say() {
    let site = Site::closed().await;
    let founder = site.founder.id();
    let mut client = client(&site, Identity::draw()).await;
    let term = site.founder.status().borrow().term();

    let [append, vote] = words_of_power();
    let commands = vec![Bytes::from(registration(1))];
    let propose = Content::Propose {
        request: 1,
        commands,
    };
    let change = Content::Change {
        request: 2,
        term,
        change: MembershipChange::add_voter(ServerId(9)),
    };
    for content in [append, vote, propose, change] {
        client.send(founder, content);
    }
    client.received(10 * ELECTION_TIMEOUT).await;

    let status = site.founder.status().borrow().clone();
    assert_eq!(status.counters.frames_not_admitted, 4);
    assert_eq!((status.term(), status.is_leader()), (term, true));
    assert_eq!(status.raft.configuration.members().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_commands_in_nobody_elses_name() {
    let site = Site::closed().await;
    let founder = site.founder.id();
    let identity = Identity::draw();
    let id = identity.id();
    let mut client = client(&site, identity).await;
    let with_token = Owner {
        id,
        token: Some(TokenKey(site.founder.public_key())),
    };

    let not_its_own = [
        registration(1),
        ordered_registration(1),
        owned_registration(untokened(founder), 1),
        owned_registration(with_token, 1),
        command(founder, Index(1), 1, 7).to_vec(),
        vec![9, 9],
        [command(id, Index(1), 1, 7), Bytes::from_static(b"x")].concat(),
    ];
    for (request, bytes) in (1..).zip(not_its_own) {
        let answers = answers(&mut client, founder, request, vec![bytes.into()]).await;
        assert_eq!(
            answers,
            [ClientAnswer::Declined(Decline::NotUnderstood)],
            "{request}"
        );
    }

    assert_eq!(site.founder.read(()).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_command_under_a_members_session_has_no_effect() {
    let site = Site::closed().await;
    let founder = site.founder.id();
    site.founder.propose(1).await.expect("it leads");
    let identity = Identity::draw();
    let id = identity.id();
    let mut client = client(&site, identity).await;
    let last = site.founder.status().borrow().raft.commit;

    let commands = (1..=last.0).map(|session| command(id, Index(session), 9, 7));
    let answers = answers(&mut client, founder, 1, commands.collect()).await;

    let outcomes = answers.into_iter().flat_map(|answer| match answer {
        ClientAnswer::Outcomes(outcomes) => outcomes,
        other => panic!("{other:?}"),
    });
    let outcomes: Vec<_> = outcomes.collect();
    let is_expired = |outcome: &CommandOutcome| matches!(outcome, CommandOutcome::Expired { .. });
    assert_eq!(outcomes.len() as u64, last.0);
    assert!(outcomes.iter().all(is_expired));
    assert_eq!(site.founder.read(()).await, Ok(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_the_network_shows_again_is_ignored() {
    let site = Site::closed().await;
    let founder = site.founder.id();
    let identity = Identity::draw();
    let id = identity.id();
    let mut client = client(&site, identity).await;
    let commands = vec![Bytes::from(owned_registration(untokened(id), 1))];

    let first = answers(&mut client, founder, 5, commands.clone()).await;
    let again = answers(&mut client, founder, 5, commands).await;

    assert!(matches!(&first[..], [ClientAnswer::Outcomes(_)]));
    assert_eq!(again, []);
}

// Whoever has a token draws as many keys as it likes. So one invitation ended the sessions of all other clients.
#[tokio::test(start_paused = true)]
async fn fresh_keys_of_one_token_end_no_session_of_another() {
    let site = Site::closed().await;
    let [ours, theirs] = [
        invite(&site.founder, Terms::writing()).await,
        invite(&site.founder, Terms::writing()).await,
    ];
    let identity = Identity::draw();
    let kept = session(&site, identity.clone(), &ours).await;
    let written = vec![command(identity.id(), kept, 1, 7)];
    let done = outcomes(&site, identity.clone(), &ours, written.clone()).await;
    let crowded_out = Identity::draw();
    let first = session(&site, crowded_out.clone(), &theirs).await;

    for _ in 0..TOKEN_SESSIONS_MAX + 88 {
        session(&site, Identity::draw(), &theirs).await;
    }

    let of_first = vec![command(crowded_out.id(), first, 1, 9)];
    let ended = outcomes(&site, crowded_out, &theirs, of_first).await;
    assert!(matches!(ended[..], [CommandOutcome::Expired { .. }]));
    assert!(matches!(done[..], [CommandOutcome::Done { .. }]));
    let again = outcomes(&site, identity, &ours, written).await;
    assert_eq!(again, done, "by the reply that is kept");
    assert_eq!(site.founder.read(()).await, Ok(vec![7]));
}
