//! Runs a real signaling server, `liferaft serve`, and stands before it: what passes is held back or lost, while the
//! server is well, or the server itself is killed or stopped.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::node::{ANYWHERE, Node, open_room};

/// How the signaling server is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outage {
    /// Its process is killed.
    Killed,
    /// Its process is stopped: connections stay, and are never answered.
    Stopped,
    /// All that is sent to it and by it comes late.
    Delayed,
    /// All that is sent to it and by it is lost, while connections stay.
    Losing,
}

pub(crate) const OUTAGES: [Outage; 4] = [
    Outage::Killed,
    Outage::Stopped,
    Outage::Delayed,
    Outage::Losing,
];

/// How late everything comes.
const DELAY: Duration = Duration::from_secs(30);

/// So many pieces of a connection may be under way one way. Whoever sends more waits.
const UNDER_WAY_MAX: usize = 1024;

/// The server, and what stands before it.
pub(crate) struct Door {
    /// `None` while it is killed.
    server: Option<Node>,
    /// Where the server listens, each time that it is started.
    inner: SocketAddr,
    /// Where members come.
    outer: SocketAddr,
    passage: Arc<Passage>,
}

/// What becomes of what passes.
#[derive(Default)]
struct Passage {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outage: Option<Outage>,
    /// Connections of which something was lost: they make no sense any more, and end with the outage.
    spoiled: Vec<TcpStream>,
}

impl Door {
    pub(crate) fn open() -> Self {
        let server = serve(ANYWHERE);
        let inner = server.until("started", |_| true);
        let inner = inner["address"].as_str().expect("it listens");
        let inner = inner.trim_start_matches("http://").parse();
        let inner = inner.expect("it is an address");
        let listener = TcpListener::bind(ANYWHERE).expect("a port is free");
        let outer = listener.local_addr().expect("it is bound");
        let passage = Arc::new(Passage::default());
        let passing = Arc::clone(&passage);
        thread::spawn(move || accept(&listener, inner, &passing));
        Self {
            server: Some(server),
            inner,
            outer,
            passage,
        }
    }

    /// Opens a room, and returns its link.
    pub(crate) fn room(&self) -> String {
        open_room(self.outer)
    }

    pub(crate) fn begin(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => self.server = None,
            Outage::Stopped => self.signal(Signal::STOP),
            Outage::Delayed | Outage::Losing => {}
        }
        self.passage.lock().outage = Some(outage);
    }

    /// The server is well again, and all that is sent passes.
    pub(crate) fn end(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => {
                let server = serve(&self.inner.to_string());
                server.until("started", |_| true);
                self.server = Some(server);
            }
            Outage::Stopped => self.signal(Signal::CONT),
            Outage::Delayed | Outage::Losing => {}
        }
        let mut state = self.passage.lock();
        state.outage = None;
        for stream in state.spoiled.drain(..) {
            let _ended = stream.shutdown(Shutdown::Both);
        }
        self.passage.changed.notify_all();
    }

    fn signal(&self, signal: Signal) {
        self.server.as_ref().expect("it runs").signal(signal);
    }
}

fn serve(listen: &str) -> Node {
    Node::start(&["serve", "--listen", listen])
}

impl Passage {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics")
    }

    /// Waits until what has come at this time may go on.
    fn wait_for(&self, came: Instant) {
        let mut state = self.lock();
        while state.outage == Some(Outage::Delayed) {
            let left = (came + DELAY).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.expect("nobody panics");
        }
    }

    /// Returns true if what has just come is lost. What comes after that makes no sense.
    fn loses(&self, from: &TcpStream) -> bool {
        let mut state = self.lock();
        let is_lost = state.outage == Some(Outage::Losing);
        if is_lost {
            state.spoiled.extend(from.try_clone());
        }
        is_lost
    }
}

/// Takes connections to the server. Where that is gone, they end.
fn accept(listener: &TcpListener, server: SocketAddr, passage: &Arc<Passage>) {
    for outer in listener.incoming().map_while(Result::ok) {
        let Ok(inner) = TcpStream::connect(server) else {
            continue;
        };
        // Small packets are not held back for each other.
        let _sooner = (outer.set_nodelay(true), inner.set_nodelay(true));
        for (from, to) in [(&outer, &inner), (&inner, &outer)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
                continue;
            };
            let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
            let (taking, giving) = (Arc::clone(passage), Arc::clone(passage));
            thread::spawn(move || take(from, &sender, &taking));
            thread::spawn(move || give(to, &receiver, &giving));
        }
    }
}

/// A piece of what passes one way, and when it came.
type Piece = (Instant, Vec<u8>);

/// Takes what one end sends, until it ends.
fn take(mut from: TcpStream, pieces: &SyncSender<Piece>, passage: &Passage) {
    let mut bytes = [0; 16 << 10];
    let mut is_spoiled = false;
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        is_spoiled = is_spoiled || passage.loses(&from);
        if is_spoiled {
            continue;
        }
        if pieces
            .send((Instant::now(), bytes[..read].to_vec()))
            .is_err()
        {
            break;
        }
    }
}

/// Gives it to the other end, each piece after its time, and ends that as well.
fn give(mut to: TcpStream, pieces: &Receiver<Piece>, passage: &Passage) {
    for (came, bytes) in pieces {
        passage.wait_for(came);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ended = to.shutdown(Shutdown::Both);
}
