//! The project's own commands, as `cargo xtask COMMAND`.
//!
//! A command is a variant of [`Command`] and a module; what several of them need (processes with a deadline, what cargo
//! knows of the workspace) has a module of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod browser;
mod conformance;
mod full_disk;
mod handshakes;
mod instructions;
mod kills;
mod mounted;
mod netlab;
mod network;
mod power_loss;
mod process;
mod recovery;
mod serve;
mod sim;
mod skips;
mod soak;
mod stages;
mod tabs;
mod test;
mod wasm_tools;
mod web;
mod webrtc;
mod workspace;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything that a change must pass, in stages, cheapest first
    Test(test::Args),
    /// Count the instructions that the core takes for each committed entry
    Instructions(instructions::Args),
    /// Run the interaction scripts of etcd's raft against our core, and compare
    Conformance(conformance::Args),
    /// Measure how long a cluster takes to recover, in the laboratory's profile
    Recovery(recovery::Args),
    /// Measure clusters over WebRTC
    Webrtc(webrtc::Args),
    /// Measure clusters of tabs in Chromium, beside what the system of the paper took
    Tabs(tabs::Args),
    /// Measure what it costs that links prove who is at their other end
    Handshakes(handshakes::Args),
    /// Measure clusters of processes, beside etcd
    Network(network::Args),
    /// Compare the modes of WebRTC's channel for consensus over a network that delays, loses, doubles and reorders;
    /// needs Linux and network namespaces with TUN devices
    Netlab(netlab::Args),
    /// Simulate whole clusters with faults, and check them at every step
    Sim(sim::Args),
    /// Kill a member under load, again and again, and look for all that it acknowledged
    Kills(kills::Args),
    /// Kill, pause, cut off and restart members as processes under load, let their disks hang, and judge what clients
    /// heard
    Soak(soak::Args),
    /// Let the power of a member fail under load, and look for all that it acknowledged; needs root and loop devices
    PowerLoss(power_loss::Args),
    /// Fill the file system of a member until it stops, and look for all that it acknowledged; needs root and loop
    /// devices
    FullDisk(full_disk::Args),
    /// Make the pages that run a member in a browser, and the package for JavaScript
    Web(web::Args),
    /// Start `liferaft serve` with the pages in it
    Serve(serve::Args),
}

/// What a shell expects of a program that Ctrl-C ended: 128 and the number of the signal.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = process::watch_for_interrupts().and_then(|()| match cli.command {
        Command::Test(args) => test::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Recovery(args) => recovery::run(&args),
        Command::Webrtc(args) => webrtc::run(&args),
        Command::Tabs(args) => tabs::run(&args),
        Command::Handshakes(args) => handshakes::run(&args),
        Command::Network(args) => network::run(&args),
        Command::Netlab(args) => netlab::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Kills(args) => kills::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::PowerLoss(args) => power_loss::run(&args),
        Command::FullDisk(args) => full_disk::run(&args),
        Command::Web(args) => web::run(&args),
        Command::Serve(args) => serve::run(&args),
    });
    match done {
        Ok(code) => code,
        Err(error) if error.is::<process::Interrupted>() => ExitCode::from(EXIT_INTERRUPTED),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
