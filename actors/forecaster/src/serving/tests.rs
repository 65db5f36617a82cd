use super::*;
use crate::fixtures::OneCandidate;
use twinscale_protocol::WireErrorCode;

fn version(candidate: usize) -> WeightsVersion {
    let engine = move || {
        Engine::new(
            Box::new(OneCandidate {
                candidate,
                gap: 0.5,
            }),
            Vec::new(),
        )
    };
    WeightsVersion {
        id: engine().weights_id(),
        make: Arc::new(move || Ok(engine())),
    }
}

fn broken() -> WeightsVersion {
    WeightsVersion {
        id: WeightsId::new("broken").expect("an id"),
        make: Arc::new(|| Err(WireError::new(WireErrorCode::Internal, "it is torn"))),
    }
}

#[test]
fn weights_that_cannot_be_loaded_change_nothing_but_what_is_said() {
    let serving = Serving::new(version(1));
    let mut slot = None;
    serving.load(&mut slot).expect("made");
    serving.serve(broken());
    serving.load(&mut slot).expect("kept");
    let failed = Some((broken().id, "it is torn".to_owned()));
    let served = Served {
        weights: version(1).id,
        failed,
    };
    assert_eq!(serving.served(), served);
    // A restarted actor has no engine yet, and begins with those of the program.
    let mut empty = None;
    serving.load(&mut empty).expect("the base serves");
    assert_eq!(serving.served(), served);
    serving.serve(version(2));
    serving.load(&mut slot).expect("made");
    assert_eq!(
        serving.served(),
        Served {
            weights: version(2).id,
            failed: None
        }
    );
    let none = Serving::new(broken()).load(&mut None);
    assert_eq!(
        none.expect_err("nothing else is there").message,
        "it is torn"
    );
}

#[test]
fn a_comparison_begins_anew_only_for_others() {
    let serving = Serving::new(version(1));
    assert_eq!(serving.shadow(), None);
    serving.compare(7, version(1).id, version(2));
    serving.count_shadow(3, 1);
    serving.compare(7, version(1).id, version(2));
    let shown = serving.shadow().expect("it goes on");
    assert_eq!(
        (shown.trial, shown.counts.done, shown.counts.dropped),
        (7, 3, 1)
    );
    serving.compare(8, version(1).id, version(2));
    let shown = serving.shadow().expect("another");
    assert_eq!((shown.trial, shown.counts.done), (8, 0));
    serving.compare(9, version(1).id, broken());
    assert_eq!(serving.load_challenger(&mut None), None);
    assert!(!serving.compares());
    let shown = serving.shadow().expect("it says why");
    assert_eq!(shown.failed.as_deref(), Some("it is torn"));
    serving.end_comparison();
    assert_eq!(serving.shadow(), None);
}
