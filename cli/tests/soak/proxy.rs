//! Forwards what members send each other, and holds back what goes one way where it is cut.
//!
//! A proxy sees who dials by asking the system whose the connection is, which Linux tells. Who cannot be told from a
//! client is never cut.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// The proxies before all members.
pub(crate) struct Proxies {
    shared: Arc<Shared>,
    /// Where each member listens, and its proxy.
    addresses: Vec<(SocketAddr, SocketAddr)>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    healed: Condvar,
}

#[derive(Default)]
struct State {
    /// The process of each member.
    processes: Vec<u32>,
    /// From whom to whom nothing goes.
    cuts: BTreeSet<(usize, usize)>,
}

impl Proxies {
    pub(crate) fn new(members: usize) -> Self {
        let shared = Arc::new(Shared::default());
        shared.state.lock().expect("nobody panics").processes = vec![0; members];
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let local = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        // All are bound at once, so that each is another; those of the members are free again when these start.
        let members: Vec<_> = (0..members).map(|_| listen()).collect();
        let addresses = members.iter().enumerate().map(|(to, member)| {
            let (listener, member) = (listen(), local(member));
            let (proxy, shared) = (local(&listener), Arc::clone(&shared));
            thread::spawn(move || accept(&listener, member, to, &shared));
            (member, proxy)
        });
        Self {
            addresses: addresses.collect(),
            shared,
        }
    }

    pub(crate) fn addresses(&self, member: usize) -> (String, String) {
        let (member, proxy) = self.addresses[member];
        (member.to_string(), proxy.to_string())
    }

    pub(crate) fn started(&self, member: usize, process: u32) {
        self.change(|state| state.processes[member] = process);
    }

    pub(crate) fn cut(&self, from: usize, to: usize) {
        self.change(|state| {
            state.cuts.insert((from, to));
        });
    }

    pub(crate) fn heal(&self) {
        self.change(|state| state.cuts.clear());
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state.lock().expect("nobody panics"));
        self.shared.healed.notify_all();
    }
}

/// Takes the connections to one member.
fn accept(listener: &TcpListener, member: SocketAddr, to: usize, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let processes = {
                let state = shared.state.lock().expect("nobody panics");
                state.processes.clone()
            };
            let from = dialer(&stream, &processes);
            // The member may be down: its peer sees that the connection ends.
            let Ok(inner) = TcpStream::connect(member) else {
                return;
            };
            let (Ok(own), Ok(theirs)) = (stream.try_clone(), inner.try_clone()) else {
                return;
            };
            // Small packets are not held back for each other.
            let _sooner = (stream.set_nodelay(true), inner.set_nodelay(true));
            let way = from.map(|from| (from, to));
            let back = from.map(|from| (to, from));
            let other = Arc::clone(&shared);
            thread::spawn(move || forward(own, inner, way, &other));
            forward(theirs, stream, back, &shared);
        });
    }
}

/// Forwards until one of both ends, and waits while this way is cut.
fn forward(mut from: TcpStream, mut to: TcpStream, way: Option<(usize, usize)>, shared: &Shared) {
    let mut bytes = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if let Some(way) = way {
            let state = shared.state.lock().expect("nobody panics");
            let is_cut = |state: &mut State| state.cuts.contains(&way);
            let waited = shared.healed.wait_while(state, is_cut);
            drop(waited.expect("nobody panics"));
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ended = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Which of these processes has the other end of a connection.
fn dialer(stream: &TcpStream, processes: &[u32]) -> Option<usize> {
    let port = stream.peer_addr().ok()?.port();
    let table = fs::read_to_string("/proc/self/net/tcp").ok()?;
    let socket = table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}"));
        is_it.then(|| format!("socket:[{}]", fields[9]))
    })?;
    processes.iter().position(|process| {
        let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else {
            return false;
        };
        let mut links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        links.any(|link| link.as_os_str() == socket.as_str())
    })
}
