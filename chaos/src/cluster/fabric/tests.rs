use super::cut::Cut;
use super::{Fabric, FabricKind, HOSTS_MAX};
use crate::error::ChaosError;
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Longer than any datagram or first segment takes here, under load as well.
const SILENCE: Duration = Duration::from_millis(300);

/// A segment that was dropped is sent again after 0.2 s, 0.4 s, ...
const PATIENCE: Duration = Duration::from_secs(20);

const PORT: u16 = 7_000;

/// Nothing where this process may not make namespaces: then there is nothing to test.
fn name_spaces(hosts: usize) -> Option<Fabric> {
    let fabric = Fabric::build(hosts).expect("a fabric");
    (fabric.kind() == FabricKind::Namespaces).then_some(fabric)
}

fn datagrams(fabric: &Fabric, host: usize) -> UdpSocket {
    let address = SocketAddr::new(fabric.address(host), PORT);
    let socket = fabric
        .within(host, || UdpSocket::bind(address))
        .expect("the network is entered")
        .expect("an address");
    socket.set_read_timeout(Some(SILENCE)).expect("a time-out");
    socket
}

/// Whether a datagram gets from one to the other.
fn arrives(fabric: &Fabric, sockets: &[UdpSocket], from: usize, to: usize) -> bool {
    static SENT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mark = SENT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let address = SocketAddr::new(fabric.address(to), PORT);
    sockets[from]
        .send_to(&mark.to_le_bytes(), address)
        .expect("sent");
    let mut got = [0; 8];
    // Ones that were late before may lie in front.
    while sockets[to].recv_from(&mut got).is_ok() {
        if got == mark.to_le_bytes() {
            return true;
        }
    }
    false
}

/// Which pairs hear each other.
fn heard(fabric: &Fabric, sockets: &[UdpSocket]) -> Vec<(usize, usize)> {
    let all = || 0..sockets.len();
    let pairs = all().flat_map(|from| all().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from != to && arrives(fabric, sockets, *from, *to))
        .collect()
}

const EVERYBODY: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];

#[test]
fn each_kind_of_cut_holds_for_datagrams_and_heals() {
    let Some(mut fabric) = name_spaces(3) else {
        return;
    };
    let sockets: Vec<_> = (0..3).map(|host| datagrams(&fabric, host)).collect();
    assert_eq!(heard(&fabric, &sockets), EVERYBODY);
    for (cut, left) in [
        (Cut::Half { side: [0].into() }, &[(1, 2), (2, 1)][..]),
        (
            Cut::OneWay {
                from: [0].into(),
                to: [1, 2].into(),
            },
            &[(1, 0), (1, 2), (2, 0), (2, 1)],
        ),
        (
            Cut::Pair { one: 0, other: 1 },
            &[(0, 2), (1, 2), (2, 0), (2, 1)],
        ),
    ] {
        let id = fabric.cut(&cut).expect("cut");
        assert_eq!(heard(&fabric, &sockets), left, "{cut}");
        fabric.heal(id).expect("healed");
        assert_eq!(heard(&fabric, &sockets), EVERYBODY, "{cut}, healed");
    }
    fabric.remove().expect("removed");
}

#[test]
fn cuts_add_up_and_heal_one_by_one() {
    let Some(mut fabric) = name_spaces(3) else {
        return;
    };
    let sockets: Vec<_> = (0..3).map(|host| datagrams(&fabric, host)).collect();
    let half = fabric.cut(&Cut::Half { side: [0].into() }).expect("cut");
    let pair = fabric.cut(&Cut::Pair { one: 0, other: 1 }).expect("cut");
    fabric.heal(half).expect("healed");
    assert_eq!(heard(&fabric, &sockets), [(0, 2), (1, 2), (2, 0), (2, 1)]);
    fabric.heal(half).expect("healed before");
    fabric.heal_all().expect("healed");
    fabric.heal(pair).expect("healed before");
    assert_eq!(heard(&fabric, &sockets), EVERYBODY);
}

/// One connection lives through a cut: what was sent meanwhile arrives after it.
#[test]
fn a_connection_is_silent_during_a_cut_and_goes_on_after_it() {
    let Some(mut fabric) = name_spaces(2) else {
        return;
    };
    let address = SocketAddr::new(fabric.address(1), PORT);
    let listener = fabric
        .within(1, || TcpListener::bind(address))
        .expect("entered")
        .expect("an address");
    let mut near = fabric
        .within(0, || TcpStream::connect_timeout(&address, PATIENCE))
        .expect("entered")
        .expect("connected");
    let (mut far, _) = listener.accept().expect("accepted");
    let mut got = [0; 4];
    near.write_all(b"ping").expect("sent");
    far.read_exact(&mut got).expect("received");
    far.write_all(b"pong").expect("sent");
    near.read_exact(&mut got).expect("received");
    let id = fabric.cut(&Cut::Pair { one: 0, other: 1 }).expect("cut");
    near.write_all(b"lost").expect("taken by the system");
    far.set_read_timeout(Some(SILENCE)).expect("a time-out");
    assert!(far.read(&mut got).is_err(), "nothing crosses a cut");
    let refused = fabric
        .within(0, || TcpStream::connect_timeout(&address, SILENCE))
        .expect("entered");
    assert!(refused.is_err(), "no new connection crosses a cut");
    fabric.heal(id).expect("healed");
    far.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    far.read_exact(&mut got).expect("sent again by the system");
    assert_eq!(&got, b"lost");
}

#[test]
fn the_runner_reaches_both_sides_of_a_cut() {
    let Some(mut fabric) = name_spaces(2) else {
        return;
    };
    fabric.cut(&Cut::Half { side: [0].into() }).expect("cut");
    for host in 0..2 {
        let address = SocketAddr::new(fabric.address(host), PORT);
        let listener = fabric
            .within(host, || TcpListener::bind(address))
            .expect("entered")
            .expect("an address");
        let near = TcpStream::connect_timeout(&address, PATIENCE).expect("connected");
        let (_far, from) = listener.accept().expect("accepted");
        assert_eq!(from.ip(), fabric.runner_address());
        drop(near);
    }
}

#[test]
fn a_command_runs_in_its_network_under_its_own_process_id() {
    let Some(fabric) = name_spaces(2) else {
        return;
    };
    let output = fabric
        .command(1, OsStr::new("sh"))
        .args(["-c", "echo $$; ip -o -4 addr show dev eth0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let pid = output.id().to_string();
    let output = output.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().next(), Some(pid.as_str()));
    assert!(text.contains(&fabric.address(1).to_string()), "{text}");
}

#[test]
fn what_runs_in_a_network_ends_with_it() {
    let Some(fabric) = name_spaces(1) else { return };
    let mut child = fabric
        .command(0, OsStr::new("sleep"))
        .arg("600")
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("started");
    // Until it has entered, it is of no namespace.
    let comm = format!("/proc/{}/comm", child.id());
    while std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() != "sleep") {
        std::thread::yield_now();
    }
    let files = [fabric.names.file(0), fabric.names.switch_file()];
    fabric.remove().expect("removed");
    let status = child.wait().expect("ended");
    assert!(!status.success());
    assert!(files.iter().all(|file| !file.exists()));
}

#[test]
fn without_namespaces_hosts_have_addresses_and_no_cuts() {
    let mut fabric = Fabric::build_on_loopback(2).expect("addresses");
    assert_eq!(fabric.kind(), FabricKind::Loopback);
    let sockets: Vec<_> = (0..2).map(|host| datagrams(&fabric, host)).collect();
    assert_eq!(heard(&fabric, &sockets), [(0, 1), (1, 0)]);
    let error = fabric.cut(&Cut::Half { side: [0].into() });
    assert!(
        matches!(&error, Err(ChaosError::NotHere { because, .. }) if because.contains("root")),
        "{error:?}"
    );
    fabric.remove().expect("nothing to remove");
}

#[test]
fn the_number_of_hosts_is_bounded() {
    for hosts in [0, HOSTS_MAX + 1] {
        assert!(Fabric::build(hosts).is_err(), "{hosts}");
    }
}
