//! Prints how long heartbeats and bulk take by the lifetime of packets, in virtual time: the tables of
//! `docs/webrtc.md`.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use str0m::channel::Reliability;
use tokio::time::{Instant, interval};

use super::super::connection::Delivery;
use super::bulk::{exchange_by, id, linked_by, next};
use crate::DeliveryClass;
use crate::links::LinkEvent;

/// How long an end stands still.
const PAUSE: Duration = Duration::from_secs(2);

/// Of so many runs the median of times is told, and the worst of all else.
const SEEDS: u64 = 9;

const SENT_ONCE: Reliability = Reliability::MaxRetransmits { retransmits: 0 };

fn given_up_after(lifetime: u16) -> Reliability {
    Reliability::MaxPacketLifetime { lifetime }
}

#[tokio::test(start_paused = true)]
#[ignore = "prints a table of docs/webrtc.md"]
async fn the_table_of_lifetimes_of_bulk() {
    let time_max = Duration::from_secs(120);
    for (way_ms, lost_percent) in [(1, 10), (25, 10), (50, 5), (50, 10), (50, 0), (150, 0)] {
        let mut cells = Vec::new();
        for (datagrams, bulk) in [
            (SENT_ONCE, Reliability::Reliable),
            (given_up_after(350), Reliability::Reliable),
            (given_up_after(350), given_up_after(250)),
            (given_up_after(350), given_up_after(500)),
        ] {
            let delivery = Delivery {
                datagrams,
                bulk,
                ..Delivery::default()
            };
            let mut outcomes = Vec::new();
            for seed in 0..SEEDS {
                let way = Duration::from_millis(way_ms);
                let outcome = exchange_by(delivery, way, lost_percent, 8, time_max, seed).await;
                outcomes.push(outcome);
            }
            let mut times: Vec<_> = outcomes
                .iter()
                .map(|outcome| outcome.bulk.unwrap_or(time_max).as_secs_f64())
                .collect();
            times.sort_by(f64::total_cmp);
            let p99 = outcomes.iter().map(|outcome| outcome.p99().as_millis());
            let gap = outcomes.iter().map(|outcome| outcome.gap.as_millis());
            // Both ends are told.
            let downs: usize = outcomes.iter().map(|outcome| outcome.downs / 2).sum();
            cells.push(format!(
                "{:.1} s, {} ms, {} ms, {downs} down",
                times[times.len() / 2],
                p99.max().unwrap_or_default(),
                gap.max().unwrap_or_default(),
            ));
        }
        println!("| {way_ms} ms, {lost_percent} % | {} |", cells.join(" | "));
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "prints a table of docs/webrtc.md"]
async fn the_table_of_lifetimes_of_datagrams() {
    for (name, datagrams) in [
        ("sent once", SENT_ONCE),
        ("given up after 250 ms", given_up_after(250)),
        ("after 350 ms", given_up_after(350)),
        ("after 500 ms", given_up_after(500)),
    ] {
        let delivery = Delivery {
            datagrams,
            ..Delivery::default()
        };
        let mut cells = Vec::new();
        for (bytes, interval_ms) in [(150, 10), (3_000, 30)] {
            let mut longest = Vec::new();
            for seed in 0..30 {
                longest.push(longest_silence(delivery, seed, bytes, interval_ms).await);
            }
            let late = longest
                .iter()
                .filter(|it| **it > Duration::from_millis(2_400));
            let late = late.count();
            let longest = longest.iter().max().expect("there are 30").as_secs_f64();
            cells.push(format!("{longest:.2} s, {late}"));
        }
        let mut gaps = Vec::new();
        for way_ms in [1, 15, 50] {
            gaps.push(longest_gap(delivery, way_ms).await.as_millis().to_string());
        }
        println!(
            "| {name} | {} | {} ms |",
            cells.join(" | "),
            gaps.join(", ")
        );
    }
}

fn is_datagram(event: &LinkEvent) -> bool {
    matches!(
        event,
        LinkEvent::Frame {
            class: DeliveryClass::Datagram,
            ..
        }
    )
}

/// Sends datagrams to an end that answers each but stands still for a while, over 10 % of loss. Returns the longest
/// time without an answer.
async fn longest_silence(
    delivery: Delivery,
    seed: u64,
    bytes: usize,
    interval_ms: u64,
) -> Duration {
    let (mut ends, _network) = linked_by(delivery, Duration::from_millis(15), 10, seed).await;
    let began = Instant::now();
    let pauses_at = began + Duration::from_millis(1_500);
    let mut ticks = interval(Duration::from_millis(interval_ms));
    let (mut last, mut longest) = (began, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(12) {
        let is_paused = (pauses_at..pauses_at + PAUSE).contains(&Instant::now());
        let [asks, answers] = &mut ends;
        tokio::select! {
            event = poll_fn(|context| asks.poll_link_event(context)) => {
                if event.as_ref().is_some_and(is_datagram) {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
            event = poll_fn(|context| answers.poll_link_event(context)), if !is_paused => {
                if event.as_ref().is_some_and(is_datagram) {
                    let answer = Bytes::from(vec![7; 150]).into();
                    let _is_down = answers.send(id(0), DeliveryClass::Datagram, answer);
                }
            }
            _ = ticks.tick() => {
                let asked = Bytes::from(vec![7; bytes]).into();
                let _is_down = asks.send(id(1), DeliveryClass::Datagram, asked);
            }
        }
    }
    longest.max(last.elapsed())
}

/// Sends 150 bytes each way every 50 ms for five minutes, over 10 % of loss. Returns the longest time in which none
/// arrives at an end.
async fn longest_gap(delivery: Delivery, way_ms: u64) -> Duration {
    let (mut ends, _network) = linked_by(delivery, Duration::from_millis(way_ms), 10, 1).await;
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(50));
    let (mut last, mut longest) = ([began; 2], Duration::ZERO);
    while began.elapsed() < Duration::from_secs(300) {
        tokio::select! {
            (end, event) = next(&mut ends) => {
                if is_datagram(&event) {
                    longest = longest.max(last[end].elapsed());
                    last[end] = Instant::now();
                }
            }
            _ = ticks.tick() => {
                for end in [0, 1] {
                    let beat = Bytes::from(vec![7; 150]).into();
                    let _is_down = ends[end].send(id(1 - end), DeliveryClass::Datagram, beat);
                }
            }
        }
    }
    longest
}
