//! Makes the namespaces and their devices.

use std::env;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::router::Router;
use super::{Counts, Weather, address, run, space};

/// Tells the program that it is inside of the namespaces.
const INSIDE: &str = "LIFERAFT_LAB_INSIDE";

/// What must be possible there.
const PROBE: &str =
    "mount -t tmpfs tmpfs /run && ip netns add probe && ip tuntap add mode tun probe";

/// The device of the program's own namespace.
const HOME: &str = "home";

/// The network of a run.
pub(crate) struct Lab {
    router: Arc<Router>,
    routing: Option<JoinHandle<()>>,
    members: usize,
}

/// Starts this program anew inside of namespaces. It returns when it is inside, or what is missing.
pub(crate) fn enter() -> Result<(), String> {
    if env::var_os(INSIDE).is_some() {
        run("mount -t tmpfs tmpfs /run");
        run("ip link set lo up");
        return Ok(());
    }
    let mut missing = String::new();
    // As root, or as whoever may be root of namespaces of its own.
    for rights in [&[][..], &["--user", "--map-root-user"]] {
        let apart = || {
            let mut command = Command::new("unshare");
            command.args(rights);
            command.args(["--net", "--mount", "--propagation", "private"]);
            command
        };
        match apart().args(["sh", "-c", PROBE]).output() {
            Ok(probed) if probed.status.success() => {
                let program = env::current_exe().expect("it runs");
                let mut anew = apart();
                anew.arg(program).args(env::args_os().skip(1));
                let error = anew.env(INSIDE, "1").exec();
                panic!("it cannot be started inside of namespaces: {error}");
            }
            Ok(probed) => missing = String::from_utf8_lossy(&probed.stderr).into_owned(),
            Err(error) => missing = format!("unshare: {error}"),
        }
    }
    Err(missing.lines().next().unwrap_or("unknown").to_owned())
}

impl Lab {
    /// Makes a network between so many members. What will happen to the n-th packet from one to another depends on the
    /// seed alone.
    pub(crate) fn new(members: usize, weather: Weather, seed: u64) -> Self {
        let mut devices: Vec<_> = (0..members)
            .map(|member| {
                let space = space(member);
                let device = device(&space);
                run(&format!("ip netns add {space}"));
                run(&format!("ip link set {space} netns {space}"));
                run(&format!("ip -n {space} link set lo up"));
                bring_up(&format!("ip -n {space}"), &space, &address(member));
                device
            })
            .collect();
        devices.push(device(HOME));
        bring_up("ip", HOME, "10.77.0.254");
        let router = Arc::new(Router::new(members, weather, seed));
        let routing = thread::spawn({
            let router = Arc::clone(&router);
            move || router.run(&devices)
        });
        Self {
            router,
            routing: Some(routing),
            members,
        }
    }

    /// Nothing that one member sends reaches the other, of those packets of IPv4 that are to be cut.
    pub(crate) fn cut(&self, from: usize, to: usize, is_cut: fn(&[u8]) -> bool) {
        self.router.cut(from, to, is_cut);
    }

    /// Ends all cuts.
    pub(crate) fn heal(&self) {
        self.router.heal();
    }

    /// What has happened to packets so far.
    pub(crate) fn counts(&self) -> Counts {
        self.router.counts()
    }

    /// Runs something on a thread of its own where a member is: sockets stay where they are made.
    pub(crate) fn run_at<T: Send + 'static>(
        &self,
        member: usize,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        assert!(member < self.members, "there is such a member");
        let space = format!("/run/netns/{}", space(member));
        let space = File::open(space).expect("it was added");
        thread::spawn(move || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(space.as_fd(), network).expect("it may go there");
            what()
        })
    }
}

/// Whoever is in the namespaces must have left.
impl Drop for Lab {
    fn drop(&mut self) {
        self.router.end();
        if let Some(routing) = self.routing.take() {
            let _panicked = routing.join();
        }
        for member in 0..self.members {
            run(&format!("ip netns delete {}", space(member)));
        }
    }
}

fn device(name: &str) -> SyncDevice {
    let device = DeviceBuilder::new().name(name).inherit_enable_state();
    let device = device.build_sync().expect("one was made by the probe");
    device.set_nonblocking(true).expect("it is a file");
    device
}

fn bring_up(ip: &str, device: &str, address: &str) {
    run(&format!("{ip} address add {address}/24 dev {device}"));
    run(&format!("{ip} link set {device} up"));
}
