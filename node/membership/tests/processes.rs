//! Real processes over UDP on loopback: killed, paused, quiet, leaving.
//!
//! The tests assert states with a deadline; how long each took is written to standard error. The benchmarks
//! page has the figures of the long runs, which are ignored otherwise:
//! `cargo test -p twinscale-membership --test processes -- --ignored --nocapture --test-threads=1`.

#![expect(
    clippy::print_stderr,
    reason = "how long each took is for whoever runs them"
)]

mod processes {
    mod children;
    mod forged;
    mod times;

    use children::{Child, cluster, member_program, now};
    use std::collections::BTreeMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::{Duration, Instant};
    use times::Times;

    /// Times and floods of one test must not trouble another.
    fn alone() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members 1 to 4 watch, and member 1 is the seed; the others are victims, each once.
    const WATCHERS: u64 = 4;

    /// How long a test goes on.
    #[derive(Clone, Copy)]
    struct Length {
        victims: u64,
        quiet: Duration,
        flood: Duration,
    }

    /// For every run of the tests.
    const SHORT: Length = Length {
        victims: 2,
        quiet: Duration::from_secs(5),
        flood: Duration::from_secs(3),
    };

    /// For figures; also long enough for the detector to learn the rhythm of heartbeats.
    const LONG: Length = Length {
        victims: 10,
        quiet: Duration::from_secs(15),
        flood: Duration::from_secs(8),
    };

    /// A cluster in which no one died falsely while it was left alone.
    fn settled(length: Length) -> BTreeMap<u64, Child> {
        let members = cluster(WATCHERS + length.victims);
        let until = now() + length.quiet;
        for member in members.values() {
            // Deaths are counted, so that those who are asked later have missed none.
            member.never_until(until, "a false death", |line| line.deaths() > 0);
        }
        members
    }

    fn victims(length: Length) -> impl Iterator<Item = u64> {
        WATCHERS + 1..=WATCHERS + length.victims
    }

    /// Waits until the watchers see a member so; notes how long each took.
    fn watch(
        members: &BTreeMap<u64, Child>,
        id: u64,
        word: &str,
        since: Instant,
        times: &mut Times,
    ) {
        for (_, watcher) in members.range(1..=WATCHERS) {
            let seen = watcher.until(word, |line| line.says(id, word));
            times.note(seen.duration_since(since));
        }
    }

    #[test]
    fn a_killed_process_is_seen_dead_and_its_successor_alive() {
        kill_each(SHORT);
    }

    #[test]
    #[ignore = "a minute for figures"]
    fn a_killed_process_is_seen_dead_and_its_successor_alive_many_times() {
        kill_each(LONG);
    }

    fn kill_each(length: Length) {
        let _turn = alone();
        let mut members = settled(length);
        let mut deaths = Times::default();
        let (mut returns, mut early_deaths) = (Times::default(), Times::default());
        for id in victims(length) {
            let mut victim = members.remove(&id).expect("a member");
            let killed = now();
            victim.kill();
            watch(&members, id, "dead", killed, &mut deaths);
            let seed = members.get(&1).expect("a seed").address();
            let started = now();
            let mut successor = Child::start(&member_program(), id, &[seed]);
            watch(&members, id, "alive", started, &mut returns);
            let killed = now();
            successor.kill();
            watch(&members, id, "dead", killed, &mut early_deaths);
        }
        eprintln!("killed to seen dead, ms: {deaths}");
        eprintln!("started to seen alive, ms: {returns}");
        eprintln!("killed when just met to seen dead, ms: {early_deaths}");
    }

    #[test]
    fn a_paused_process_is_seen_dead_and_returns_when_it_goes_on() {
        pause_each(SHORT);
    }

    #[test]
    #[ignore = "a minute for figures"]
    fn a_paused_process_is_seen_dead_and_returns_when_it_goes_on_many_times() {
        pause_each(LONG);
    }

    fn pause_each(length: Length) {
        let _turn = alone();
        let members = settled(length);
        let (mut deaths, mut returns) = (Times::default(), Times::default());
        let mut own_view = Times::default();
        for id in victims(length) {
            let paused = members.get(&id).expect("a member");
            let paused_at = now();
            paused.pause();
            watch(&members, id, "dead", paused_at, &mut deaths);
            let resumed_at = now();
            paused.resume();
            watch(&members, id, "alive", resumed_at, &mut returns);
            let seen = paused.until("it sees all", |line| line.alive() == members.len());
            own_view.note(seen.saturating_duration_since(resumed_at));
        }
        eprintln!("paused to seen dead, ms: {deaths}");
        eprintln!("resumed to seen alive, ms: {returns}");
        eprintln!("resumed to seeing all, ms: {own_view}");
    }

    #[test]
    fn a_process_that_leaves_is_told_to_all_and_no_failure() {
        let _turn = alone();
        let mut members = cluster(4);
        let leaver = members.remove(&4).expect("four");
        let asked = now();
        let report = leaver.leave();
        eprintln!("asked to left, ms: {}", asked.elapsed().as_millis());
        assert_eq!(report.told(), Some((3, 0)));
        for member in members.values() {
            member.until("4 left", |line| line.says(4, "left"));
            assert_eq!(member.deaths(), 0);
        }
    }

    #[test]
    fn a_flood_of_forged_datagrams_makes_no_one_dead_and_blinds_no_one() {
        flood_one(SHORT);
    }

    #[test]
    #[ignore = "a minute for figures"]
    fn a_flood_of_forged_datagrams_makes_no_one_dead_and_blinds_no_one_many_times() {
        flood_one(LONG);
    }

    /// As much as one core sends, at one member; each datagram costs it a decryption. What the kernel's
    /// buffer cannot hold is lost, gossip of others among it.
    fn flood_one(length: Length) {
        let _turn = alone();
        let mut members = cluster(5);
        let target = members.get(&1).expect("a member").address().to_owned();
        let forged = forged::datagram(&target);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let flood = |until: Instant| {
            let mut sent = 0_u64;
            while now() < until {
                // A full buffer is the point of it.
                sent += u64::from(socket.send_to(&forged, &target).is_ok());
            }
            sent
        };
        let sent = flood(now() + length.flood);
        for member in members.values() {
            assert_eq!(member.deaths(), 0, "a false death under the flood");
        }
        // Under a further flood, the target sees a real death.
        members.remove(&5).expect("a member").kill();
        let killed = now();
        let more = std::thread::scope(|scope| {
            let flooding = scope.spawn(|| flood(now() + length.flood));
            for member in members.values() {
                member.until("5 is dead", |line| line.says(5, "dead"));
            }
            let seen = killed.elapsed().as_millis();
            eprintln!("killed under a flood to seen dead by all, ms: {seen}");
            flooding.join().expect("it ends")
        });
        let size = forged.len();
        eprintln!("forged datagrams sent: {} of {size} bytes", sent + more);
        assert!(sent > 1_000, "that was no flood: {sent}");
        let target = members.get(&1).expect("a member");
        assert!(target.says_last(1, "alive") && target.says_last(4, "alive"));
    }
}
