//! What `cargo xtask instructions` counts: commits ENTRIES entries of PAYLOAD bytes in batches of BATCH on SERVERS
//! servers (3 unless it says otherwise) and says how many messages that took. Two runs of different length, under
//! callgrind, give the cost of one entry.

mod pump;

use bytes::Bytes;

use pump::Pump;

fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let (payload, batch, entries, servers) = match arguments[..] {
        [payload, batch, entries] => (payload, batch, entries, 3),
        [payload, batch, entries, servers] => (payload, batch, entries, servers),
        _ => {
            eprintln!("usage: instructions PAYLOAD BATCH ENTRIES [SERVERS]");
            // Without arguments this is only a check that it builds, as `cargo bench` runs every target.
            return;
        }
    };
    let mut pump = Pump::elected(servers);
    let before = pump.messages;
    let start = pump.applied().0;
    let command = vec![7; payload];
    for _ in 0..entries / batch {
        // Each command is a value of its own, as from clients.
        pump.commit((0..batch).map(|_| Bytes::copy_from_slice(&command)));
    }
    assert_eq!(
        pump.applied().0 - start,
        entries as u64,
        "every entry is applied everywhere"
    );
    println!("{{\"messages\": {}}}", pump.messages - before);
}
