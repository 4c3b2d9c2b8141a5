use super::*;

const TOKEN: AccessToken = AccessToken {
    key: TokenKey(PublicKey([7; 32])),
    grants: Grants::Membership,
    expires_at: ClusterTime(5000),
    uses_left: 2,
    scope: Scope::everything(),
};

fn id(n: u128) -> ServerId {
    ServerId(n)
}

#[test]
fn a_joint_configuration_keeps_the_outgoing_voters_until_it_is_left() {
    let old = Configuration::of_voters([id(1), id(2), id(3)]);
    let new = Configuration::of_voters([id(3), id(4)]);

    let joint = old.joined_with(&new);

    assert_eq!(joint.voters(), [id(3), id(4)]);
    assert_eq!(joint.outgoing(), [id(1), id(2), id(3)]);
    assert!(joint.is_voter(id(1)));
    assert_eq!(joint.left_joint(), new);
}

#[test]
fn who_was_dismissed_is_remembered_through_a_joint_configuration() {
    let old = Configuration::of_voters([id(1), id(2), id(3)]);
    let dismissed = [(id(2), Dismissal::Removed), (id(1), Dismissal::Forgot)];
    let new = Configuration::of_voters([id(4)]).with_dismissed(dismissed);

    let joint = old.joined_with(&new);

    assert_eq!(joint.dismissed(), dismissed);
    assert_eq!(joint.left_joint(), new);
}

#[test]
fn the_longest_entry_stays_the_same_through_a_joint_configuration() {
    let old = Configuration::of_voters([id(1), id(2)])
        .with_entry_bytes_max(5000)
        .with_history(History(7));
    let new = Configuration::of_voters([id(3), id(4)]);

    let joint = old.joined_with(&new);

    assert_eq!(joint.entry_bytes_max(), 5000);
    assert_eq!(joint.left_joint().entry_bytes_max(), 5000);
    assert_eq!(joint.left_joint().history(), Some(History(7)));
}

#[test]
fn all_that_concerns_the_cluster_stays_through_a_joint_configuration() {
    let old = Configuration::of_voters([id(1), id(2)]).with_open(false);
    let new = Configuration::of_voters([id(3), id(4)])
        .with_version(3)
        .with_tokens([TOKEN])
        .with_evicted([id(1), id(2)]);

    let joint = old.joined_with(&new);
    let left = joint.left_joint();

    assert_eq!((joint.version(), joint.tokens()), (3, &[TOKEN][..]));
    assert_eq!(left.evicted(), [id(1), id(2)]);
    assert_eq!(left, new.with_open(false));
}

#[test]
fn what_founders_choose_names_their_history() {
    let described =
        |description| Configuration::from_members([(id(1), Member::voter(description))]);
    let label = "ada".parse().expect("it is a label");
    let address = "memory:7".parse().expect("it is an address");
    let blank = Description::default();
    let choices = [
        described(blank.clone()),
        described(blank.clone()).with_open(false),
        described(blank.clone()).with_version(2),
        described(blank.clone()).with_tokens([TOKEN]),
        described(Description::of(PublicKey([7; 32]))),
        described(blank.clone().with_label(label)),
        described(blank.clone().with_addresses([address])),
        described(blank.with_versions(Versions { min: 1, max: 2 })),
    ];

    let mut names: Vec<_> = choices.iter().map(Configuration::founding).collect();

    names.sort();
    names.dedup();
    assert_eq!(names.len(), choices.len());
}

#[test]
fn of_too_many_addresses_the_first_count() {
    let addresses = (1..=5).map(|n| alloc::format!("memory:{n}").parse().expect("it is one"));

    let description = Description::default().with_addresses(addresses);

    let kept = description.addresses().iter().map(Address::rest);
    assert_eq!(kept.collect::<Vec<_>>(), ["1", "2", "3", "4"]);
}

#[test]
fn the_oldest_evictions_are_forgotten_first() {
    let most = EVICTED_MAX as u128;

    let evicted = (0..=most).chain([1, 5000]).map(id);
    let configuration = Configuration::of_voters([id(5000)]).with_evicted(evicted);

    assert_eq!(configuration.evicted().len(), EVICTED_MAX);
    assert!(!configuration.is_evicted(id(0)) && !configuration.is_evicted(id(5000)));
    assert!(configuration.is_evicted(id(1)) && configuration.is_evicted(id(most)));
}

#[test]
fn founders_with_one_configuration_found_one_history() {
    let founders = [[id(1), id(2)], [id(2), id(1)], [id(1), id(3)]];

    let [one, same, other] = founders.map(|ids| Configuration::of_voters(ids).founding());
    let shorter = Configuration::of_voters([id(1), id(2)]).with_entry_bytes_max(5000);

    assert_eq!(one, same);
    assert!(one != other && one != shorter.founding());
}

#[test]
fn the_oldest_dismissals_go_first_and_no_member_is_dismissed() {
    let most = DISMISSED_MAX as u128;
    let dismissed = (0..=most).chain([1, 5000]).map(id);

    let dismissed = dismissed.map(|id| (id, Dismissal::Removed));
    let configuration = Configuration::of_voters([id(5000)]).with_dismissed(dismissed);

    assert_eq!(configuration.dismissed().len(), DISMISSED_MAX);
    assert!(!configuration.is_dismissed(id(0)));
    assert!(configuration.is_dismissed(id(1)) && configuration.is_dismissed(id(most)));
    assert!(!configuration.is_dismissed(id(5000)));
}

#[test]
fn who_forgot_is_remembered_longer_than_whom_an_operator_removed() {
    let most = DISMISSED_MAX as u128;
    let forgot = (0..most).map(|n| (id(n), Dismissal::Forgot));
    let removed = (most..2 * most).map(|n| (id(n), Dismissal::Removed));

    let configuration = Configuration::default().with_dismissed(forgot.chain(removed));

    assert_eq!(configuration.dismissed().len(), DISMISSED_MAX);
    assert_eq!(configuration.dismissal(id(0)), Some(Dismissal::Forgot));
    assert_eq!(configuration.dismissal(id(most)), None);
}

#[test]
fn a_voter_demoted_by_a_joint_change_votes_until_it_is_left() {
    let old = Configuration::of_voters([id(1), id(2)]);
    let new = Configuration::from_members([
        (id(1), Member::voter(Description::default())),
        (id(2), Member::learner(Description::default())),
    ]);

    let joint = old.joined_with(&new);

    assert!(joint.is_voter(id(2)));
    assert!(!joint.is_learner(id(2)));
    assert!(joint.left_joint().is_learner(id(2)));
}
