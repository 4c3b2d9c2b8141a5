//! Counts what happens, and writes it for Prometheus.

use std::fmt::Write as _;

/// What a server has and has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Connections that are open.
    pub connections: usize,
    /// Rooms there are, the common one not counted.
    pub channels: usize,
    /// Ids that belong to somebody.
    pub peers: usize,
    /// Addresses that are accounted for.
    pub hosts: usize,
    /// Messages that wait for peers that are not there, in bytes.
    pub waiting_bytes: usize,
    /// Messages that wait to be read by their receivers, in bytes.
    pub outgoing_bytes: usize,
    /// Rooms that `/new` made.
    pub channels_made: u64,
    /// Visitors that were told to found.
    pub founders: u64,
    /// Messages that went to a peer at once or from waiting.
    pub relayed: u64,
    /// Times that messages of one peer for another were given up: nobody came, or there was no room.
    pub expired: u64,
    /// Frames that were no messages.
    pub garbage: u64,
    /// Connections that wanted an id that belongs to another.
    pub ids_taken: u64,
    /// Connections and requests that were refused by a bound or a rate.
    pub refused: u64,
    /// Requests that were refused by their origin.
    pub strangers: u64,
    /// Connections that were closed since they did not read.
    pub slow: u64,
    /// Peers that fell silent.
    pub silent: u64,
}

impl Figures {
    /// Returns what operators are to know of since an earlier moment, as text: what was refused or cut off, and how
    /// often. `None` if nothing was.
    pub(crate) fn troubles_since(&self, earlier: &Self) -> Option<String> {
        let counts = [
            (
                "refused by a bound or a rate",
                self.refused,
                earlier.refused,
            ),
            ("pages of other origins", self.strangers, earlier.strangers),
            ("ids taken", self.ids_taken, earlier.ids_taken),
            ("frames that are no messages", self.garbage, earlier.garbage),
            ("peers that did not read", self.slow, earlier.slow),
            ("peers that fell silent", self.silent, earlier.silent),
        ];
        let grown = counts.into_iter().filter(|(_, now, before)| now > before);
        let told = grown.map(|(what, now, before)| format!("{what}: {}", now - before));
        let told: Vec<_> = told.collect();
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// Writes all figures in the text format of Prometheus.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let gauges = [
            ("connections", self.connections),
            ("channels", self.channels),
            ("peers", self.peers),
            ("hosts", self.hosts),
            ("waiting_bytes", self.waiting_bytes),
            ("outgoing_bytes", self.outgoing_bytes),
        ];
        let counters = [
            ("channels_made", self.channels_made),
            ("founders", self.founders),
            ("messages_relayed", self.relayed),
            ("messages_expired", self.expired),
            ("frames_garbage", self.garbage),
            ("ids_taken", self.ids_taken),
            ("refused", self.refused),
            ("origins_refused", self.strangers),
            ("readers_too_slow", self.slow),
            ("peers_silent", self.silent),
        ];
        let mut text = String::new();
        for (name, value) in gauges {
            let name = format!("liferaft_signaling_{name}");
            let _infallible = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
        }
        for (name, value) in counters {
            let name = format!("liferaft_signaling_{name}_total");
            let _infallible = writeln!(text, "# TYPE {name} counter\n{name} {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_grown_is_told_and_nothing_else() {
        let earlier = Figures {
            refused: 3,
            silent: 1,
            ..Figures::default()
        };
        let now = Figures {
            refused: 5,
            ids_taken: 1,
            relayed: 7,
            ..earlier
        };

        let told = now.troubles_since(&earlier);

        let text = "refused by a bound or a rate: 2, ids taken: 1";
        assert_eq!(told.as_deref(), Some(text));
        assert_eq!(now.troubles_since(&now), None);
    }

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let figures = Figures {
            connections: 3,
            relayed: 7,
            ..Figures::default()
        };

        let text = figures.to_prometheus();

        assert!(text.starts_with(
            "# TYPE liferaft_signaling_connections gauge\nliferaft_signaling_connections 3\n"
        ));
        assert!(text.contains("\nliferaft_signaling_messages_relayed_total 7\n"));
    }
}
