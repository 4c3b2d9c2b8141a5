//! Packets that are lost, reordered, repeated, cut, changed and moved.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn secret(seed: u8) -> Secret {
    Secret::from_bytes([seed; KEY_BYTES])
}

/// The two ends of a channel's direction.
fn pair() -> (Sealer, Opener) {
    (Sealer::new(secret(1)), Opener::new(secret(1)))
}

/// The two ends of a direction where the next packet has this number.
fn pair_at(number: u64) -> (Sealer, Opener) {
    let mut of_epoch = secret(1);
    for _ in 0..number >> EPOCH_SHIFT {
        of_epoch = of_epoch.next();
    }
    let mut opener = Opener::new(of_epoch.clone());
    opener.epoch = number >> EPOCH_SHIFT;
    opener.window.end = number;
    (Sealer::starting_at(of_epoch, number), opener)
}

fn seal(sealer: &mut Sealer) -> Bytes {
    sealer.seal(b"head ", b"body").unwrap()
}

const OPENED: Result<Bytes, OpenError> = Ok(Bytes::from_static(b"head body"));

#[test]
fn what_was_sealed_is_opened_once() {
    let (mut sealer, mut opener) = pair();

    let packet = seal(&mut sealer);

    assert_eq!(packet.len(), b"head body".len() + SEALING_BYTES);
    assert_eq!(opener.open(packet.clone()), OPENED);
    assert_eq!(opener.open(packet), Err(OpenError::Replayed { number: 0 }));
}

#[test]
fn an_empty_packet_is_sealed_like_any_other() {
    let (mut sealer, mut opener) = pair();

    let packet = sealer.seal(b"", b"").unwrap();

    assert_eq!(packet.len(), SEALING_BYTES);
    assert_eq!(opener.open(packet), Ok(Bytes::new()));
}

#[test]
fn equal_packets_look_different() {
    let (mut sealer, _) = pair();

    let [one, other] = [(); 2].map(|()| seal(&mut sealer));

    assert_ne!(one[NUMBER_BYTES..], other[NUMBER_BYTES..]);
}

#[test]
fn packets_are_opened_in_any_order_within_the_window() {
    let (mut sealer, mut opener) = pair();
    let window = usize::try_from(WINDOW_PACKETS).unwrap();
    let mut packets: Vec<_> = (0..window).map(|_| seal(&mut sealer)).collect();
    packets.reverse();

    for packet in &packets {
        assert_eq!(opener.open(packet.clone()), OPENED);
    }
    for packet in packets {
        let refused = opener.open(packet);
        assert!(
            matches!(refused, Err(OpenError::Replayed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_packet_behind_the_window_is_refused() {
    let (mut sealer, mut opener) = pair();
    let [behind, oldest] = [(); 2].map(|()| seal(&mut sealer));
    let (mut ahead, _) = pair_at(WINDOW_PACKETS);

    opener.open(seal(&mut ahead)).unwrap();

    assert_eq!(opener.open(behind), Err(OpenError::Replayed { number: 0 }));
    assert_eq!(opener.open(oldest), OPENED);
}

#[test]
fn a_packet_cut_at_any_length_is_refused() {
    let (mut sealer, mut opener) = pair();
    let packet = seal(&mut sealer);

    for length in 0..packet.len() {
        assert!(opener.open(packet.slice(..length)).is_err(), "{length}");
    }

    assert_eq!(opener.open(packet), OPENED);
}

#[test]
fn a_packet_with_any_bit_flipped_is_refused() {
    let (mut sealer, mut opener) = pair();
    let packet = seal(&mut sealer);

    for bit in 0..8 * packet.len() {
        let mut flipped = packet.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(opener.open(flipped.into()).is_err(), "bit {bit}");
    }

    assert_eq!(opener.open(packet), OPENED);
}

#[test]
fn a_packet_of_another_direction_channel_or_link_is_refused() {
    let (_, mut opener) = pair();
    let mut other = Sealer::new(secret(2));

    assert_eq!(opener.open(seal(&mut other)), Err(OpenError::Forged));
}

#[test]
fn a_forged_number_does_not_move_the_window() {
    let (mut sealer, mut opener) = pair();
    let packet = seal(&mut sealer);
    let mut forged = packet.to_vec();
    forged[..NUMBER_BYTES].copy_from_slice(&(2 * EPOCH_PACKETS).to_be_bytes());

    assert_eq!(opener.open(forged.into()), Err(OpenError::Forged));

    assert_eq!(opener.open(packet), OPENED);
}

#[test]
fn the_keys_of_both_ends_change_together() {
    let (mut sealer, mut opener) = pair_at(EPOCH_PACKETS - 1);

    let [last, first] = [(); 2].map(|()| seal(&mut sealer));

    assert_eq!(opener.open(last), OPENED);
    assert_eq!(opener.open(first), OPENED);
    assert_eq!(opener.epoch, 1);
}

#[test]
fn a_packet_overtaken_by_a_change_of_keys_is_opened() {
    let (mut sealer, mut opener) = pair_at(EPOCH_PACKETS - 1);
    let [last, first, second] = [(); 3].map(|()| seal(&mut sealer));

    assert_eq!(opener.open(first), OPENED);
    assert_eq!(opener.open(last.clone()), OPENED);
    assert_eq!(
        opener.open(last),
        Err(OpenError::Replayed {
            number: EPOCH_PACKETS - 1
        })
    );
    assert_eq!(opener.open(second), OPENED);
}

#[test]
fn a_change_of_keys_survives_the_loss_of_an_epoch() {
    let (_, mut opener) = pair();
    let (mut later, _) = pair_at(2 * EPOCH_PACKETS - 1);
    let [last, first] = [(); 2].map(|()| seal(&mut later));

    assert_eq!(opener.open(first), OPENED);
    assert_eq!(opener.epoch, EPOCHS_AHEAD_MAX);
    assert_eq!(opener.open(last), OPENED);
}

#[test]
fn a_packet_many_epochs_ahead_costs_no_derivation() {
    let (_, mut opener) = pair();
    let number = 3 * EPOCH_PACKETS;
    let (mut later, _) = pair_at(number);

    assert_eq!(
        opener.open(seal(&mut later)),
        Err(OpenError::TooFarAhead { number })
    );
}

#[test]
fn the_next_secret_is_not_the_packet_key() {
    let secret = secret(1);

    let key = secret.expand(b"liferaft 1: packet key");

    assert_ne!(*key, *secret.next().0);
    assert_ne!(*key, *secret.0);
}

#[test]
fn the_last_number_ends_a_channel() {
    let mut sealer = Sealer::starting_at(secret(1), NUMBER_END - 1);
    let (_, mut opener) = pair();

    assert!(sealer.seal(b"", b"").is_ok());
    assert_eq!(sealer.seal(b"", b""), Err(SealError::Exhausted));
    assert_eq!(
        opener.open(Bytes::from_static(&[0xff; 40])),
        Err(OpenError::Malformed)
    );
}

#[test]
fn keys_are_worn_by_as_many_forgeries_as_the_cipher_bears() {
    let (mut sealer, mut opener) = pair();
    opener.forgeries = FORGERIES_MAX - 1;

    let forged = Sealer::new(secret(2)).seal(b"", b"").unwrap();

    assert_eq!(opener.open(forged), Err(OpenError::Forged));
    assert_eq!(opener.open(seal(&mut sealer)), Err(OpenError::Worn));
}

#[test]
fn no_key_is_shown() {
    let (sealer, opener) = pair();

    let shown = format!("{sealer:?} {opener:?} {:?}", secret(1));

    assert_eq!(
        shown,
        "Sealer { next: 0, .. } Opener { epoch: 0, end: 0, forgeries: 0, .. } Secret { .. }"
    );
}

#[test]
fn a_number_taken_a_turn_of_the_ring_ago_stands_in_nobodys_way() {
    let mut window = Window::default();
    // The second is the last number of a word. The word after it holds the first still.
    let end_of_word = RING_BITS + WORD_BITS - 1;
    window.take(100);
    window.take(end_of_word);
    window.take(end_of_word + 1);
    window.take(end_of_word + 80);

    assert!(window.takes(100 + RING_BITS));
}

proptest! {
    /// Against a set of all numbers that were ever taken.
    #[test]
    fn the_window_takes_what_a_set_of_all_numbers_would(
        steps in prop::collection::vec((0..4_u64, 0..3_000_u64), 1..400)
    ) {
        let mut window = Window::default();
        let (mut taken, mut end) = (BTreeSet::new(), 0_u64);
        for (kind, distance) in steps {
            let number = match kind {
                0 => end + distance,
                1 => end,
                _ => end.saturating_sub(distance),
            };

            let expected = number >= end
                || (end - number <= WINDOW_PACKETS && !taken.contains(&number));
            prop_assert_eq!(window.takes(number), expected, "number {} of {}", number, end);

            if expected {
                window.take(number);
                taken.insert(number);
                end = end.max(number + 1);
            }
        }
    }

    /// Whatever arrives, and in whatever order, only what was sealed is opened, and nothing of it twice.
    #[test]
    fn only_what_was_sealed_is_opened_and_only_once(
        order in prop::collection::vec((0..40_usize, 0..3_u8, any::<u8>()), 1..200)
    ) {
        let (mut sealer, mut opener) = pair_at(EPOCH_PACKETS - 20);
        let packets: Vec<_> = (0..40_u8)
            .map(|content| sealer.seal(&[content], b"").unwrap())
            .collect();
        let mut opened = BTreeSet::new();
        for (index, change, byte) in order {
            let packet = match change {
                0 => packets[index].clone(),
                1 => packets[index].slice(1 + usize::from(byte) % (packets[index].len() - 1)..),
                _ => {
                    let mut changed = packets[index].to_vec();
                    let at = usize::from(byte) % changed.len();
                    changed[at] ^= byte | 1;
                    changed.into()
                }
            };
            if let Ok(content) = opener.open(packet) {
                prop_assert_eq!(change, 0, "opened what was changed");
                prop_assert_eq!(usize::from(content[0]), index);
                prop_assert!(opened.insert(index), "opened {} twice", index);
            }
        }
    }
}
