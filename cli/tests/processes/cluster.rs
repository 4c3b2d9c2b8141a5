//! A cluster for trying out, of processes that one program starts.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::Stdio;

use crate::node::{Folder, liferaft, until};

#[test]
#[cfg(unix)]
fn a_cluster_of_processes_ends_with_its_program() {
    // Killed, it does not remove what it has made.
    let folder = Folder::new("cluster");
    let mut cluster = liferaft()
        .args(["cluster", "3"])
        .env("TMPDIR", &folder.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = cluster.stdout.take().expect("it is piped");
    let mut addresses = Vec::new();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, address, "leader" | "follower", ..] = words[..]
            && !addresses.contains(&address.to_owned())
        {
            addresses.push(address.to_owned());
        }
        if addresses.len() == 3 {
            break;
        }
    }
    assert_eq!(addresses.len(), 3);

    // Without a word to those that it has started.
    cluster.kill().expect("it runs");
    cluster.wait().expect("it has ended");

    let is_there = |address: &String| TcpStream::connect(address).is_ok();
    until("they end", || !addresses.iter().any(is_there));
}
