use super::*;
use crate::configuration::Description;
use crate::ids::ClusterId;

const ADA: PublicKey = PublicKey([1; 32]);

fn at(millis: u64) -> Instant {
    Instant::from_origin(Duration::from_millis(millis))
}

fn server(number: u8) -> ServerId {
    PublicKey([number; 32]).server_id()
}

fn route() -> Route {
    let invitation = Invitation::new(ClusterId(7), [ADA]).expect("one inviter");
    let addresses = ["memory:1".parse().expect("it is an address")];
    Route::new(invitation.with_addresses(addresses).expect("one address"))
}

/// What a member sees of the servers 1 to `members`.
fn view(term: u64, leader: Option<u8>, members: u8) -> View {
    let members = (1..=members).map(|number| {
        let description = Description::of(PublicKey([number; 32]));
        (server(number), description)
    });
    View {
        term: Term(term),
        leader: leader.map(server),
        command_bytes_max: 0,
        members: members.collect(),
    }
}

fn wanted(route: &mut Route) -> Vec<ServerId> {
    let (wanted, _) = route.take_wanted().expect("it has changed");
    wanted.iter().map(|wanted| wanted.peer).collect()
}

#[test]
fn whoever_comes_up_is_asked_who_leads() {
    let mut route = route();
    assert_eq!(wanted(&mut route), [server(1)]);

    route.on_up(server(1), at(5));

    assert_eq!((route.due(), route.ask(at(5))), (at(5), Some(server(1))));
    assert_eq!(route.target(), None);
}

#[test]
fn a_client_follows_to_the_leader_once_it_is_linked() {
    let mut route = route();
    route.on_up(server(1), at(0));

    route.on_view(server(1), view(3, Some(2), 3), at(1));
    let before = route.target();
    let to = wanted(&mut route);
    route.on_up(server(2), at(2));

    assert_eq!((before, to[0]), (None, server(2)));
    assert_eq!(route.target(), Some((server(2), Term(3))));
}

#[test]
fn the_view_of_an_earlier_term_counts_for_nothing() {
    let mut route = route();
    route.on_up(server(1), at(0));
    route.on_up(server(2), at(0));

    route.on_view(server(1), view(4, Some(1), 3), at(1));
    route.on_view(server(2), view(3, Some(2), 3), at(2));

    assert_eq!(route.target(), Some((server(1), Term(4))));
}

#[test]
fn only_the_leader_says_that_it_leads_no_more() {
    let mut route = route();
    route.on_up(server(1), at(0));
    route.on_view(server(1), view(4, Some(1), 3), at(1));

    route.on_view(server(2), view(4, None, 3), at(2));
    let by_another = route.target();
    route.on_view(server(1), view(4, None, 3), at(3));

    let led = Some((server(1), Term(4)));
    assert_eq!((by_another, route.target()), (led, None));
}

#[test]
fn without_a_leader_members_are_asked_in_turn_ever_less_often() {
    let mut route = route();
    for number in 1..=3 {
        route.on_up(server(number), at(0));
    }
    let mut asked = SortedSet::new();
    let mut times = Vec::new();

    for _ in 0..7 {
        let now = route.due();
        times.push(now.since(at(0)).as_millis());
        asked.extend(route.ask(now));
    }

    assert_eq!(asked.len(), 3);
    assert_eq!(times, [0, 50, 150, 350, 750, 1550, 2350]);
}

#[test]
fn a_lost_leader_is_looked_for_at_once() {
    let mut route = route();
    route.on_up(server(1), at(0));
    route.on_up(server(2), at(0));
    route.on_view(server(1), view(4, Some(1), 3), at(1));

    route.on_down(server(1), at(100));

    assert_eq!(route.target(), None);
    assert_eq!(route.ask(at(100)), Some(server(2)));
}

#[test]
fn who_reaches_nobody_goes_back_to_its_invitation() {
    let mut route = route();
    route.on_up(server(1), at(0));
    route.on_view(server(1), view(4, Some(2), 9), at(1));
    let known = wanted(&mut route);

    route.on_down(server(1), at(2));

    assert_eq!((known.len(), known.contains(&server(1))), (LINKS_MAX, true));
    assert!(wanted(&mut route).contains(&server(1)));
    assert_eq!(route.ask(at(2)), None, "there is nobody to ask");
}

#[test]
fn who_cannot_be_reached_gives_way_to_others() {
    let mut route = route();
    route.on_up(server(1), at(0));
    route.on_view(server(1), view(4, None, 10), at(1));
    let first = wanted(&mut route);
    let unreached = *first.last().expect("there are eight");

    route.on_not_linked(unreached);

    let then = wanted(&mut route);
    assert_eq!((then.len(), then.contains(&unreached)), (LINKS_MAX, false));
}

#[test]
fn each_inviter_is_dialed_at_another_address_first() {
    let inviters = [1, 2, 3].map(|number| PublicKey([number; 32]));
    let addresses = ["memory:1", "memory:2", "memory:3"].map(|text| text.parse().unwrap());
    let invitation = Invitation::new(ClusterId(7), inviters).expect("few inviters");
    let mut route = Route::new(invitation.with_addresses(addresses).expect("few addresses"));

    let (wanted, _) = route.take_wanted().expect("it is new");

    let first = |wanted: &Wanted| wanted.addresses[0].to_string();
    let first: Vec<_> = wanted.iter().map(first).collect();
    assert_eq!(first, ["memory:1", "memory:2", "memory:3"]);
    assert!(wanted.iter().all(|wanted| wanted.addresses.len() == 3));
}
