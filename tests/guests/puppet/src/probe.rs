//! What a guest sees of its input and of the world outside, as the entries of a ConfigMap.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, thread};

use handler_sdk::Request;
use serde_json::{Value, json};

use crate::PuppetParent;
use crate::config::PuppetConfig;

/// The clocks, the time that a sleep takes, and random numbers from every source.
pub(crate) fn entropy() -> Value {
    let start = Instant::now();
    thread::sleep(Duration::from_secs(10));
    let mut bytes = [0; 16];
    let random = getrandom::fill(&mut bytes).map(|()| bytes);
    let numbers: HashMap<u8, ()> = (0..16).map(|number| (number, ())).collect();
    json!({
        "wallClock": format!("{:?}", SystemTime::now().duration_since(UNIX_EPOCH)),
        "monotonicClock": format!("{start:?}"),
        "slept": format!("{:?}", start.elapsed()),
        "randomBytes": format!("{random:?}"),
        "hash": RandomState::new().hash_one("seed").to_string(),
        "mapOrder": format!("{:?}", numbers.keys().collect::<Vec<_>>()),
    })
}

/// One entry for each way out of the sandbox that a guest might try: the error, or `reached …`. When nothing is granted,
/// arguments and variables are empty and the input has 0 bytes.
pub(crate) fn environment() -> Value {
    let mut input = Vec::new();
    let stdin = io::stdin().read_to_end(&mut input).map(|_| input);
    json!({
        "arguments": env::args().collect::<Vec<_>>().join(" "),
        "variables": env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(" "),
        "stdin": stdin.map_or_else(|error| error.to_string(), |input| format!("{} bytes", input.len())),
        "listRoot": outcome(fs::read_dir("/").map(Iterator::count)),
        "listHere": outcome(fs::read_dir(".").map(Iterator::count)),
        "readPasswd": outcome(fs::read_to_string("/etc/passwd")),
        "writeFile": outcome(fs::write("/tmp/puppet", "was here")),
        "connectTcp": outcome(TcpStream::connect("127.0.0.1:1")),
        "listenTcp": outcome(TcpListener::bind("127.0.0.1:0")),
        "bindUdp": outcome(UdpSocket::bind("127.0.0.1:0")),
        "resolveName": outcome("localhost:1".to_socket_addrs().map(Iterator::count)),
        "startThread": outcome(thread::Builder::new().spawn(|| ())),
    })
}

fn outcome<T: Debug>(attempt: io::Result<T>) -> String {
    match attempt {
        Ok(found) => format!("reached {found:?}"),
        Err(error) => format!("refused: {error}"),
    }
}

/// The request, and how often this instance was called.
pub(crate) fn echo(request: &Request<PuppetParent, PuppetConfig>) -> Value {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let children: Vec<String> = request
        .children
        .iter()
        .map(|child| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{}/{}",
                text(&child["kind"]),
                text(&child["metadata"]["name"])
            )
        })
        .collect();
    let managed_fields = request
        .children
        .texts()
        .iter()
        .any(|text| text.contains("managedFields"));
    json!({
        "namespace": request.parent.metadata.namespace.as_deref().unwrap_or_default(),
        "generation": request.parent.metadata.generation.unwrap_or_default().to_string(),
        "children": children.join(" "),
        "childCount": request.children.len().to_string(),
        "childrenCarryManagedFields": managed_fields.to_string(),
        "config": serde_json::to_string(&request.config).unwrap_or_else(|error| error.to_string()),
        "callsOfThisInstance": (CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string(),
    })
}
