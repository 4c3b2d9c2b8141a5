//! Shows in Chromium that tabs are members and store what members must, that published PeerJS clients meet through our
//! signaling server and our members through the published one, and that a published client that dials a member is told
//! to get an invitation.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Checks, Stage};
use crate::browser::{BY_HAND, Browser, HIDDEN, KILLS, RELOADS, SNAPSHOT, build_program, drive};
use crate::process::Program;
use crate::wasm_tools::Tools;
use crate::web::{self, Made};
use crate::workspace::{self, NATIVE, Workspace};

pub(super) const STAGE: Stage = Stage {
    name: "browser",
    about: "tabs in Chromium are members; PeerJS clients meet through our server, and members through theirs",
    budget: Duration::from_secs(240),
    run,
};

const PEERJS: &str = "signaling/tests/browser/peerjs.mjs";
const CARRIER: &str = "web/tests/browser/carrier.mjs";
const STORAGE: &str = "web/tests/browser/storage.mjs";
/// How often three servers are taken anew from what is stored.
const TAKEN: &str = "3";
const FACADE: &str = "web/tests/browser/facade.mjs";
const NODE: &str = "web/tests/browser/node.mjs";
const ROOMS: &str = "web/tests/browser/rooms.mjs";
/// The chat page: while nobody is reached, while nobody sees it, of a tab that was removed, as people use it who mean
/// no good, and over plain HTTP.
const CHAT: [&str; 5] = [
    "web/tests/browser/offline.mjs",
    "web/tests/browser/unseen.mjs",
    "web/tests/browser/removed.mjs",
    "web/tests/browser/hostile.mjs",
    "web/tests/browser/reduced.mjs",
];
const MIXED: &str = "web/tests/browser/mixed.mjs";
/// Of how many tabs a cluster is of which some are killed, and how many seconds tabs are hidden longer than it takes to
/// show that they are. `cargo xtask soak --tabs` has more of both.
const TABS: &str = "3";
const HIDDEN_SECONDS: &str = "0";
const RELAY: &str = "web/tests/browser/relay.mjs";
/// How long a text waits until it is taken. `cargo xtask webrtc --by-hand` has two minutes.
const DAWDLED_SECONDS: &str = "1";
/// Of how many values of 500 kB a snapshot is, and how often a tab takes it in. `cargo xtask webrtc --tabs` has 16 of
/// them, and looks at the time.
const SNAPSHOT_VALUES_AND_RUNS: [&str; 2] = ["2", "1"];
/// Builds the conformance kit over a part of browsers, whose name follows.
const KIT: &str = "--package liferaft-web --no-run --message-format json-render-diagnostics --test";
/// Runs a command while npm's `peer` serves.
const PUBLISHED_SERVER: &str = "signaling/tests/members/peerjs.mjs";
/// What our members do with it: ends of links, and processes.
const AT_PUBLISHED_SERVER: &str = "cargo test --test members --test processes";
/// Dials a member of ours by a published client.
const VISITED_MEMBER: &str = "test --test members";
/// For each script, not counting builds and installations.
const DEADLINE: Duration = Duration::from_secs(150);

fn run(workspace: &Workspace, checks: &mut Checks) -> Result<()> {
    let Browser { chromium, modules } = match Browser::find(workspace)? {
        Ok(browser) => browser,
        Err(missing) => {
            checks.skip_whole(missing);
            return Ok(());
        }
    };
    let Made { site, package } = web::make(workspace, true)?;
    let program = build_program(workspace, &site)?;
    let node = workspace.program(Program::new("node"));
    let server = node.arg(PUBLISHED_SERVER).arg(&modules);
    // As the program is built, so that it is not built again.
    let server = server.env("LIFERAFT_PAGES", &site);
    let members = server.args(AT_PUBLISHED_SERVER).args(NATIVE);
    members.args("-- --ignored a_published_server").run()?;
    let drive = |script: &str, arguments: &[&Path]| drive(workspace, script, arguments, DEADLINE);
    workspace
        .cargo()
        .args(VISITED_MEMBER)
        .args(NATIVE)
        .args("-- --ignored a_published_client")
        .env("CHROMIUM", &chromium)
        .env("PEERJS_MODULES", &modules)
        .run()?;
    drive(PEERJS, &[&program, &chromium, &modules])?;
    let tools = Tools::install(workspace)?;
    let kit = |name| workspace::executable(tools.cargo(workspace, "test").args(KIT).arg(name));
    let runner = tools.bindgen.join("wasm-bindgen-test-runner");
    let (carrier, storage) = (kit("carrier")?, kit("storage")?);
    drive(CARRIER, &[&runner, &carrier, &chromium, &modules])?;
    let taken = Path::new(TAKEN);
    drive(STORAGE, &[&runner, &storage, &chromium, &modules, taken])?;
    drive(FACADE, &[&chromium, &modules, &site])?;
    drive(NODE, &[&program, &modules, &package])?;
    for story in CHAT {
        drive(story, &[&program, &chromium, &modules])?;
    }
    drive(ROOMS, &[&program, &chromium, &modules, &site])?;
    let tabs = Path::new(TABS);
    for story in [KILLS, RELOADS] {
        drive(story, &[&program, &chromium, &modules, &site, tabs])?;
    }
    drive(MIXED, &[&program, &chromium, &modules, &site])?;
    let seconds = Path::new(HIDDEN_SECONDS);
    drive(HIDDEN, &[&program, &chromium, &site, seconds])?;
    match workspace.set_up("setup-coturn.sh")?.value("TURNSERVER")? {
        "" => {
            checks.skip_part("coturn is not installed: no tab is reached through a server of TURN");
        }
        turnserver => {
            let turnserver = Path::new(turnserver);
            drive(RELAY, &[&program, &chromium, &modules, &site, turnserver])?;
        }
    }
    let dawdled = Path::new(DAWDLED_SECONDS);
    drive(BY_HAND, &[&chromium, &modules, &site, dawdled])?;
    let site = web::make_snapshot(workspace, false)?;
    let [values, runs] = SNAPSHOT_VALUES_AND_RUNS.map(Path::new);
    drive(SNAPSHOT, &[&chromium, &modules, &site, values, runs])
}
