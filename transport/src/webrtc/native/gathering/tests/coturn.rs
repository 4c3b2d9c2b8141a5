//! Runs Debian's coturn on this machine for a test, where it is installed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use stun_proto::types::message::{BINDING, Message, MessageWriteVec};
use stun_proto::types::prelude::MessageWrite;
use tokio::net::UdpSocket;
use tokio::time::timeout;

pub(super) const USERNAME: &str = "node1";
pub(super) const CREDENTIAL: &str = "correct horse";

/// What signs the credentials that expire.
const SECRET: &str = "battery staple";

/// A server that is asked whether it is there is asked again after so long.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How often it is asked.
const QUESTIONS_MAX: usize = 400;

/// The ports that are tried: another program may take one while the server starts.
const PORTS_MAX: usize = 3;

/// A server, which ends with the test.
pub(super) struct Coturn {
    pub(super) address: SocketAddr,
    arguments: Vec<String>,
    process: Child,
}

impl Coturn {
    /// Starts a server with one user. Returns nothing where there is no coturn, which the output tells.
    pub(super) async fn start() -> Option<Self> {
        let user = format!("--user={USERNAME}:{CREDENTIAL}");
        Self::start_with(&["--lt-cred-mech", &user]).await
    }

    /// Starts a server whose user has at most so many allocations at a time.
    pub(super) async fn start_with_quota(allocations: usize) -> Option<Self> {
        let user = format!("--user={USERNAME}:{CREDENTIAL}");
        let quota = format!("--user-quota={allocations}");
        Self::start_with(&["--lt-cred-mech", &user, &quota]).await
    }

    /// Starts a server whose users have credentials that expire.
    pub(super) async fn start_with_secret() -> Option<Self> {
        let secret = format!("--static-auth-secret={SECRET}");
        Self::start_with(&["--use-auth-secret", &secret]).await
    }

    async fn start_with(arguments: &[&str]) -> Option<Self> {
        let Some(program) = find_program() else {
            println!("skipped: coturn is not installed: STUN and TURN are not tried against it");
            return None;
        };
        for _ in 0..PORTS_MAX {
            let free = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut all = vec![
                "-n".to_owned(),
                format!("--listening-ip={}", address.ip()),
                format!("--listening-port={}", address.port()),
                format!("--relay-ip={}", address.ip()),
                "--realm=example.org".to_owned(),
                "--userdb=/nonexistent".to_owned(),
                "--pidfile=/dev/null".to_owned(),
                "--log-file=stdout".to_owned(),
            ];
            let flags = "--allow-loopback-peers --no-cli --no-dtls --no-rfc5780 --no-tcp --no-tls";
            all.extend(flags.split(' ').map(str::to_owned));
            all.extend(arguments.iter().map(ToString::to_string));
            let process = spawn(&program, &all);
            let mut coturn = Self {
                address,
                arguments: all,
                process,
            };
            if coturn.answers().await {
                return Some(coturn);
            }
        }
        panic!("coturn does not start");
    }

    /// Ends the server, which forgets all, and starts it again at the same address.
    pub(super) async fn restart(&mut self) {
        self.stop();
        let program = find_program().expect("it was there");
        self.process = spawn(&program, &self.arguments);
        assert!(self.answers().await, "coturn does not start again");
    }

    pub(super) fn stop(&mut self) {
        self.process.kill().expect("it is a child of this process");
        self.process.wait().expect("it is a child of this process");
    }

    /// Returns true once it answers, false if it ends first.
    async fn answers(&mut self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
        for _ in 0..QUESTIONS_MAX {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            // That nobody listens yet is told by the next call.
            let _sent = socket.send_to(&request, self.address).await;
            let mut answer = [0; 512];
            let received = timeout(ASK_AGAIN_AFTER, async {
                loop {
                    if socket.recv_from(&mut answer).await.is_ok() {
                        return;
                    }
                }
            });
            if received.await.is_ok() {
                return true;
            }
        }
        false
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns the credential of a user whose name says until when it counts, as `seconds:name`.
pub(super) fn credential_of(username: &str) -> String {
    let mut signed = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    signed.update(username.as_bytes());
    Base64::encode_string(&signed.finalize().into_bytes())
}

fn spawn(program: &PathBuf, arguments: &[String]) -> Child {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdin(Stdio::null());
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("coturn can be started")
}

/// Debian installs it where only root looks for programs.
fn find_program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("LIFERAFT_TURNSERVER") {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(others);
    folders
        .map(|folder| folder.join("turnserver"))
        .find(|program| program.is_file())
}
