//! Real processes over UDP on loopback: killed, paused, quiet, leaving.
//!
//! The tests assert states with a deadline; how long each took is written to standard error, for the
//! benchmarks page: `cargo test -p twinscale-membership --test processes -- --nocapture`.

mod processes {
    mod children;
    mod times;

    use children::{Child, cluster, member_program, now};
    use std::time::Duration;
    use times::Times;

    const TRIALS: usize = 12;

    /// Victims take turns, so that each was up for a while: a member that was just met is given more time.
    /// Member 1 is the seed and stays.
    fn victims() -> impl Iterator<Item = u64> {
        (2..=5).cycle().take(TRIALS)
    }

    #[test]
    fn a_killed_process_is_seen_dead_and_its_successor_alive() {
        let mut members = cluster(5);
        let (mut deaths, mut returns) = (Times::default(), Times::default());
        for id in victims() {
            let mut victim = members.remove(&id).expect("a member");
            let killed = now();
            victim.kill();
            for member in members.values() {
                let seen = member.until("it is dead", |line| line.says(id, "dead"));
                deaths.note(seen.duration_since(killed));
            }
            let started = now();
            let seed = members.get(&1).expect("a seed").address();
            members.insert(id, Child::start(&member_program(), id, &[seed]));
            for member in members.values() {
                let seen = member.until("it is alive", |line| line.says(id, "alive"));
                returns.note(seen.duration_since(started));
            }
        }
        eprintln!("killed to seen dead, ms, by four members: {deaths}");
        eprintln!("started to seen alive, ms, by five members: {returns}");
    }

    #[test]
    fn a_paused_process_is_seen_dead_and_returns_when_it_goes_on() {
        let members = cluster(5);
        let (mut deaths, mut returns) = (Times::default(), Times::default());
        let mut own_view = Times::default();
        for id in victims() {
            let paused = members.get(&id).expect("a member");
            let others = || members.iter().filter(|(other, _)| **other != id);
            let paused_at = now();
            paused.pause();
            for (_, member) in others() {
                let seen = member.until("it is dead", |line| line.says(id, "dead"));
                deaths.note(seen.duration_since(paused_at));
            }
            let resumed_at = now();
            paused.resume();
            for (_, member) in others() {
                let seen = member.until("it is alive", |line| line.says(id, "alive"));
                returns.note(seen.duration_since(resumed_at));
            }
            let seen = paused.until("it sees all", |line| line.alive() == 5);
            own_view.note(seen.saturating_duration_since(resumed_at));
        }
        eprintln!("paused to seen dead, ms, by four members: {deaths}");
        eprintln!("resumed to seen alive, ms, by four members: {returns}");
        eprintln!("resumed to seeing all, ms, by the paused one: {own_view}");
    }

    #[test]
    fn no_one_dies_falsely_in_fifteen_quiet_seconds() {
        let members = cluster(5);
        let before: Vec<_> = members.values().map(Child::deaths).collect();
        let until = now() + Duration::from_secs(15);
        for member in members.values() {
            member.never_until(until, "a death", |line| line.deaths() > 0);
        }
        let after: Vec<_> = members.values().map(Child::deaths).collect();
        assert_eq!((before, after), (vec![0; 5], vec![0; 5]));
    }

    #[test]
    fn a_process_that_leaves_is_told_to_all_and_no_failure() {
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
}
