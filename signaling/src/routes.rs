//! Answers requests: PeerJS's, those of rooms, pages, and operators'.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::hosts::Host;
use crate::hub::{Hub, draw_channel, draw_id};
use crate::names::{Key, PeerId, Token};
use crate::origin;
use crate::rooms::{Attach, Claim, Refusal};
use crate::site::{File, Site};
use crate::socket::Connected;

/// What PeerJS's server says of itself, in words of our own.
const BANNER: &str = concat!(
    r#"{"name":"PeerJS Server","description":"Introduces PeerJS clients, and members of liferaft clusters, "#,
    r#"to each other.","website":"https://peerjs.com/"}"#,
);
/// Whoever asks for a WebSocket reads the answer within this time.
const UPGRADE_TIME_MAX: Duration = Duration::from_secs(10);
/// Whoever asks too often is told to wait this long, in seconds.
const RETRY_AFTER: u64 = 10;
/// What a page may be asked for beside its room, in its address.
const PAGE_OPTIONS: [&str; 6] = ["et", "ice", "laboratory", "paused", "relay", "server"];
/// The longest value of such an option.
const OPTION_BYTES_MAX: usize = 256;
/// How long browsers keep a file whose name never has other bytes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What answers say where they say nothing else. A room's number is in the address, which is therefore told to nobody.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The routes of visitors and peers.
pub(crate) fn public(hub: Hub) -> Router {
    let signaling = Router::new()
        .route("/new", get(new_room).head(no_visit))
        .route("/peerjs", get(websocket))
        .route("/peers/{key}", get(peers_of_room))
        .route("/{key}/id", get(id))
        .route("/{key}/peers", get(peers))
        .route("/{key}/founder", post(founder))
        .route_layer(middleware::from_fn_with_state(hub.clone(), while_open));
    Router::new()
        .route("/", get(start))
        .merge(signaling)
        .fallback(file)
        .layer(middleware::from_fn_with_state(hub.clone(), guard))
        .with_state(hub)
}

/// The routes of operators.
pub(crate) fn operator(hub: Hub) -> Router {
    Router::new()
        .route("/healthz", get(async || text(StatusCode::OK, "ok")))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .with_state(hub)
}

/// Stands before all routes of visitors: origins, rates, and the headers of every answer.
async fn guard(State(hub): State<Hub>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let host = hub.host(peer.map(|peer| peer.0), request.headers());
    request.extensions_mut().insert(host);
    let asked_by = request.headers().get(header::ORIGIN).cloned();
    let is_allowed = origin::is_allowed(request.headers(), &hub.config().origins);
    let mut response = if !is_allowed {
        hub.change(|rooms, _| rooms.note_stranger());
        text(
            StatusCode::FORBIDDEN,
            "pages of this origin may not use this server",
        )
    } else if let Err(refusal) = hub.change(|rooms, now| rooms.request(now, host)) {
        refused(&hub, refusal)
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.append(header::VARY, HeaderValue::from_static("accept, origin"));
    if let Some(origin) = asked_by.filter(|_| is_allowed) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Stands before what has to do with rooms: nothing of it is there while signaling is stopped.
async fn while_open(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    if hub.is_open() {
        return next.run(request).await;
    }
    refused(&hub, Refusal::Stopped)
}

/// A page for people, a banner for programs, as PeerJS's.
async fn start(State(hub): State<Hub>, request: Request) -> Response {
    let headers = request.headers();
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    let is_asked = request.method() == Method::GET;
    let mut query = request.uri().query().unwrap_or_default().split('&');
    let is_room = query.any(|it| it.starts_with("channel="));
    if !is_room && !accepted.any(|value| value.contains("text/html")) {
        return json(StatusCode::OK, BANNER.to_owned());
    }
    let site = &hub.config().site;
    if site.opens_rooms && !is_room && is_asked && hub.is_open() {
        return new_room(State(hub.clone()), request).await;
    }
    shown(site, site.start(), headers)
}

/// Makes a room, and tells this one visitor that it may found there.
async fn new_room(State(hub): State<Hub>, request: Request) -> Response {
    // What a browser loads in case that somebody wants it is no visit.
    let is_prefetch = |name| request.headers().contains_key(name);
    if ["sec-purpose", "purpose", "x-moz"]
        .into_iter()
        .any(is_prefetch)
    {
        return no_visit().await;
    }
    let Some(channel) = draw_channel() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the system has no entropy");
    };
    let host = host(&request);
    if let Err(refusal) = hub.change(|rooms, now| rooms.make_channel(now, host, channel)) {
        return refused(&hub, refusal);
    }
    let location = format!(
        "/?channel={}{}#firstServer",
        channel.as_str(),
        page_options(request.uri())
    );
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

/// Makes no room.
async fn no_visit() -> Response {
    let answer = text(
        StatusCode::METHOD_NOT_ALLOWED,
        "a room is made for whoever visits this page",
    );
    ([(header::ALLOW, "GET")], answer).into_response()
}

/// Returns what else a page was asked for, as the end of a query: what it knows alone, in characters that mean nothing
/// elsewhere, since no answer repeats what a visitor says.
fn page_options(asked: &Uri) -> String {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"./:-_".contains(&c);
    let query = Query::<Vec<(String, String)>>::try_from_uri(asked);
    let mut options = String::new();
    for name in PAGE_OPTIONS {
        let all = query.iter().flat_map(|query| &query.0);
        let value = all
            .filter(|(it, _)| it == name)
            .map(|(_, value)| value)
            .next();
        let is_passed = |it: &&String| it.len() <= OPTION_BYTES_MAX && it.bytes().all(is_plain);
        if let Some(value) = value.filter(is_passed) {
            options.extend(["&", name, if value.is_empty() { "" } else { "=" }, value]);
        }
    }
    options
}

#[derive(Deserialize)]
struct ClaimQuery {
    claim: String,
}

/// Decides whether a visit founds.
async fn founder(
    State(hub): State<Hub>,
    Path(key): Path<String>,
    Query(query): Query<ClaimQuery>,
) -> Response {
    let Ok(nonce) = query.claim.parse::<Token>() else {
        return text(StatusCode::BAD_REQUEST, "the claim is no token");
    };
    let claim = hub.change(|rooms, _| match rooms.key_of(&key) {
        Some(Key::Channel(channel)) => rooms.claim(channel, &nonce),
        _ => Claim::Refused,
    });
    match claim {
        Claim::Founder => json(StatusCode::OK, r#"{"founder":true}"#.to_owned()),
        Claim::Refused => json(StatusCode::CONFLICT, r#"{"founder":false}"#.to_owned()),
    }
}

/// Draws an id for a client that has none.
async fn id(State(hub): State<Hub>, Path(key): Path<String>) -> Response {
    if hub.change(|rooms, _| rooms.key_of(&key)).is_none() {
        return not_found().await;
    }
    match draw_id() {
        Some(id) => plain(StatusCode::OK, id),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "the system has no entropy"),
    }
}

/// Lists who is there, as PeerJS's server does: of the common place only if that is allowed.
async fn peers(State(hub): State<Hub>, Path(key): Path<String>) -> Response {
    let is_listed = hub.config().is_listed;
    let ids = hub.change(|rooms, _| match rooms.key_of(&key) {
        Some(Key::Common) if !is_listed => Err(StatusCode::UNAUTHORIZED),
        Some(key) => Ok(rooms.peers(key)),
        None => Err(StatusCode::NOT_FOUND),
    });
    match ids {
        Ok(ids) => json(StatusCode::OK, list(&ids)),
        Err(StatusCode::UNAUTHORIZED) => text(StatusCode::UNAUTHORIZED, "ids are not listed here"),
        Err(_) => not_found().await,
    }
}

/// Lists who is in a room. A room that does not exist is empty.
async fn peers_of_room(State(hub): State<Hub>, Path(key): Path<String>) -> Response {
    let ids = hub.change(|rooms, _| match rooms.key_of(&key) {
        Some(key @ Key::Channel(_)) => rooms.peers(key),
        _ => Vec::new(),
    });
    json(StatusCode::OK, list(&ids))
}

/// Ids hold nothing that JSON escapes.
fn list(ids: &[PeerId]) -> String {
    let quoted: Vec<_> = ids
        .iter()
        .map(|id| format!("\"{}\"", id.as_str()))
        .collect();
    format!("[{}]", quoted.join(","))
}

#[derive(Default, Deserialize)]
struct AttachQuery {
    key: Option<String>,
    id: Option<String>,
    token: Option<String>,
}

/// Opens a WebSocket (RFC 6455, 4.2).
async fn websocket(State(hub): State<Hub>, mut request: Request) -> Response {
    let Some(accept) = accept_key(request.method(), request.headers()) else {
        let upgrade = [
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ];
        let answer = text(StatusCode::UPGRADE_REQUIRED, "peers connect by WebSocket");
        return (upgrade, answer).into_response();
    };
    let (connection, inlet) = match hub.connect(host(&request)) {
        Ok(connected) => connected,
        Err(refusal) => return refused(&hub, refusal),
    };
    let connected = Connected::new(hub, connection);
    // What does not read as one is as good as none: the peer is told what is missing.
    let query = Query::<AttachQuery>::try_from_uri(request.uri());
    let query = query.map(|query| query.0).unwrap_or_default();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match timeout(UPGRADE_TIME_MAX, upgrade).await {
            Ok(Ok(stream)) => {
                let attach = Attach {
                    key: query.key.as_deref(),
                    id: query.id.as_deref(),
                    token: query.token.as_deref(),
                };
                connected.run(TokioIo::new(stream), inlet, attach).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a connection was not upgraded"),
            Err(_) => tracing::debug!("a connection was not upgraded in time"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend([
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ]);
    response
}

/// Returns the answer to a WebSocket's handshake, if the request is one.
fn accept_key(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|it| it.split(','));
        tokens.any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let is_handshake = method == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let accept = derive_accept_key(key.as_bytes());
    is_handshake.then(|| accept.try_into().ok())?
}

/// Answers all that is not of the protocol.
async fn file(State(hub): State<Hub>, request: Request) -> Response {
    let site = &hub.config().site;
    let is_asked = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path().strip_prefix('/');
    let file = path.filter(|_| is_asked).and_then(|path| site.file(path));
    match file {
        Some(file) => shown(site, file, request.headers()),
        None => not_found().await,
    }
}

/// Returns a file, compressed where that is at hand and the browser takes it.
fn shown(site: &Site, file: &File, headers: &HeaderMap) -> Response {
    let gzip = file.gzip.as_ref().filter(|_| takes_gzip(headers));
    let mut response = Response::new(Body::from(gzip.unwrap_or(&file.bytes).clone()));
    let own = response.headers_mut();
    if gzip.is_some() {
        own.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if file.gzip.is_some() {
        own.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if file.is_immutable {
        own.insert(header::CACHE_CONTROL, IMMUTABLE);
    }
    let bytes = HeaderValue::from_static("application/octet-stream");
    let content_type = HeaderValue::from_str(&file.content_type).unwrap_or(bytes);
    own.insert(header::CONTENT_TYPE, content_type);
    own.insert(header::CONTENT_SECURITY_POLICY, site.policy.clone());
    response
}

/// Returns true if gzip is among the codings that are taken (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=");
        let is_refused = weight.and_then(|it| it.parse().ok()) == Some(0.0_f32);
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

async fn metrics(State(hub): State<Hub>) -> Response {
    const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");
    let mut response = plain(StatusCode::OK, hub.figures().to_prometheus());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, EXPOSITION);
    response
}

async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "there is nothing here")
}

fn host(request: &Request) -> Host {
    let host = request.extensions().get::<Host>();
    *host.expect("the guard stands before all routes")
}

fn refused(hub: &Hub, refusal: Refusal) -> Response {
    let status = match refusal {
        Refusal::TooMany | Refusal::Rooms => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Full | Refusal::Exists | Refusal::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    };
    let answer = plain(status, format!("{refusal}\n"));
    let after = match refusal {
        Refusal::Rooms => hub.config().limits.empty_channel_time.as_secs(),
        _ => RETRY_AFTER,
    };
    ([(header::RETRY_AFTER, after)], answer).into_response()
}

fn text(status: StatusCode, line: &str) -> Response {
    plain(status, format!("{line}\n"))
}

fn plain(status: StatusCode, content: String) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        content,
    )
        .into_response()
}

fn json(status: StatusCode, content: String) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        content,
    )
        .into_response()
}
