//! Answers operators' tools over HTTP: figures for Prometheus, and whether the member is well and takes part.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use liferaft::driver::{Handle, MemberStatus};
use liferaft::kv::Kv;
use liferaft::transport::webrtc::SignalingMeter;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// The most connections at a time: monitors open one each. One more takes the place of the oldest one of the host that
/// has the most.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take, with its one request and the answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);

/// How long nothing is accepted after it failed: out of file descriptors, say, what is open has to end first.
const PAUSE: Duration = Duration::from_millis(100);

/// The format that Prometheus reads.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// An address at which operators' tools ask.
pub(crate) struct Web {
    listener: TcpListener,
    address: SocketAddr,
    figures: Figures,
}

/// The figures of this process.
#[derive(Clone)]
struct Figures {
    kept: PrometheusHandle,
    /// What tells in which rooms the member is found, if it may be in any.
    signaling: Option<SignalingMeter>,
}

impl Web {
    /// Listens, and has all figures of this process kept from here on.
    pub(crate) async fn listen(
        address: SocketAddr,
        signaling: Option<SignalingMeter>,
    ) -> anyhow::Result<Self> {
        let refused = || format!("cannot listen on {address} for monitors");
        let listener = TcpListener::bind(address).await.with_context(refused)?;
        let address = listener.local_addr().with_context(refused)?;
        let kept = PrometheusBuilder::new()
            .install_recorder()
            .context("cannot keep figures")?;
        Ok(Self {
            listener,
            address,
            figures: Figures { kept, signaling },
        })
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, member: &Handle<Kv>) {
        // Aborts all of them when it is dropped.
        let mut tasks = JoinSet::new();
        let mut places: Vec<(IpAddr, AbortHandle)> = Vec::new();
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            while tasks.try_join_next().is_some() {}
            places.retain(|(_, task)| !task.is_finished());
            if places.len() >= CONNECTIONS_MAX {
                let hosts: Vec<_> = places.iter().map(|(host, _)| *host).collect();
                if let Some(at) = place_to_give_up(&hosts) {
                    places.remove(at).1.abort();
                }
            }
            let connection = serve_one(stream, self.figures.clone(), member.status());
            places.push((peer.ip(), tasks.spawn(connection)));
        }
    }
}

impl Figures {
    fn render(&self) -> String {
        self.kept.run_upkeep();
        let mut text = self.kept.render();
        if let Some(signaling) = &self.signaling {
            let rooms = signaling.read();
            let reached = rooms.iter().filter(|room| room.is_connected).count();
            text += &format!(
                "# TYPE liferaft_rooms gauge\nliferaft_rooms {}\n# TYPE liferaft_rooms_reached gauge\n\
                 liferaft_rooms_reached {reached}\n",
                rooms.len(),
            );
        }
        text
    }
}

/// Returns which connection gives up its place, of those of these hosts, the oldest first: the oldest one of the host
/// that has the most.
fn place_to_give_up(hosts: &[IpAddr]) -> Option<usize> {
    let count_of = |host| hosts.iter().filter(|other| *other == host).count();
    let most = hosts.iter().map(count_of).max()?;
    hosts.iter().position(|host| count_of(host) == most)
}

/// Answers one request, within a time. Whoever does not read the answer has no other one made.
async fn serve_one(stream: TcpStream, figures: Figures, status: watch::Receiver<MemberStatus>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, &figures, &status);
        async move { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIME_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    match tokio::time::timeout(CONNECTION_TIME_MAX, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a monitor's connection has failed"),
        Err(_) => tracing::debug!("a monitor's connection took too long"),
    }
}

fn answer(
    request: &Request<Incoming>,
    figures: &Figures,
    status: &watch::Receiver<MemberStatus>,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
    }
    let of = |state: Result<(), String>| match state {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    match request.uri().path() {
        "/metrics" => {
            let mut response = text(StatusCode::OK, &figures.render());
            response.headers_mut().insert(CONTENT_TYPE, EXPOSITION);
            response
        }
        "/healthz" => of(health(&status.borrow())),
        "/readyz" => of(readiness(&status.borrow())),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /metrics, /healthz and /readyz",
        ),
    }
}

/// A member that has stopped, or whose disk hangs, is to be started anew.
fn health(status: &MemberStatus) -> Result<(), String> {
    if let Some(why) = &status.stopped {
        return Err(format!("the member has stopped: {why}"));
    }
    match status.storage.stalled_for {
        Some(since) => Err(format!("the disk hangs for {since:.1?}")),
        None => Ok(()),
    }
}

/// Requests are answered by whoever knows a leader and is one of its cluster.
fn readiness(status: &MemberStatus) -> Result<(), String> {
    health(status)?;
    if let Some(why) = status.exclusion {
        return Err(format!("it takes no part: {why}"));
    }
    if !status.raft.configuration.names(status.raft.id) {
        return Err("it is no member yet".to_owned());
    }
    match status.leader() {
        Some(_) => Ok(()),
        None => Err("it knows no leader".to_owned()),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from(format!("{}\n", text.trim_end())));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_host_with_most_connections_gives_up() {
        let host = |last: u8| IpAddr::from([192, 0, 2, last]);

        let crowded = [host(1), host(2), host(3), host(2)];
        assert_eq!(place_to_give_up(&crowded), Some(1));
        assert_eq!(place_to_give_up(&[]), None);
    }
}
