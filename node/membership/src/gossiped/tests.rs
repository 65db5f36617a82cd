//! Golden documents, limits, and what is not understood.

use proptest::prelude::*;

use super::*;

fn identity() -> Identity {
    Identity {
        name: NodeId::new("alpha").expect("a name"),
        peer: Endpoint::new("10.0.0.1:7100").expect("an endpoint"),
        api: Endpoint::new("alpha.example:8080").expect("an endpoint"),
        software: "0.1.0".to_owned(),
        schema: SchemaRange {
            oldest: 1,
            newest: 2,
        },
        zone: "eu-1a".to_owned(),
    }
}

/// What is on the wire must not change in place: a new form gets a new key.
#[test]
fn the_documents_have_golden_texts() {
    let golden = [
        (
            IDENTITY_KEY,
            encode_identity(&identity()).expect("fits"),
            r#"{"name":"alpha","peer":"10.0.0.1:7100","api":"alpha.example:8080","software":"0.1.0","schema":{"oldest":1,"newest":2},"zone":"eu-1a"}"#,
        ),
        (
            STATE_KEY,
            encode_state(&MemberState::NotReady {
                why: "disk full".to_owned(),
            })
            .expect("fits"),
            r#"{"state":"not-ready","why":"disk full"}"#,
        ),
        (
            LOAD_KEY,
            encode_load(&Load {
                twins: 3,
                cpu_per_mille: 250,
                log_latency_us: 900,
            })
            .expect("fits"),
            r#"{"twins":3,"cpu_per_mille":250,"log_latency_us":900}"#,
        ),
        (
            LEADS_KEY,
            encode_leads(&BTreeMap::from([(18, 6), (2, 1)])).expect("fits"),
            "2:1 18:6",
        ),
    ];
    for (key, text, expected) in &golden {
        assert_eq!(text, expected, "{key}");
    }
    let document = Document::decode(golden.iter().map(|(key, text, _)| (*key, text.as_str())));
    assert_eq!(document.unreadable, [""; 0]);
    assert_eq!(document.identity, Some(identity()));
    assert_eq!(document.load.expect("read").twins, 3);
    assert_eq!(document.leads, BTreeMap::from([(2, 1), (18, 6)]));
    assert!(!document.has_left());
}

#[test]
fn a_newer_member_s_keys_and_fields_are_passed_over() {
    let document = Document::decode([
        ("state/2", "something new"),
        (STATE_KEY, r#"{"state":"serving","since":12}"#),
        (
            LOAD_KEY,
            r#"{"twins":1,"cpu_per_mille":2,"log_latency_us":3,"memory_per_mille":4}"#,
        ),
    ]);
    assert_eq!(document.unreadable, [""; 0]);
    assert_eq!(document.state, Some(MemberState::Serving));
    assert_eq!(document.load.expect("read").twins, 1);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_read() {
    let document = Document::decode([
        (STATE_KEY, r#"{"state":"dreaming"}"#),
        (LEADS_KEY, "1:2 3"),
        (
            IDENTITY_KEY,
            r#"{"name":"a","peer":"x","api":"y:1","software":"","schema":{"oldest":1,"newest":1},"zone":""}"#,
        ),
        (
            LOAD_KEY,
            r#"{"twins":1,"cpu_per_mille":2,"log_latency_us":3}"#,
        ),
    ]);
    assert!(document.load.is_some());
    let named: Vec<_> = document
        .unreadable
        .iter()
        .filter_map(|one| one.split_once(':'))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(named, [STATE_KEY, LEADS_KEY, IDENTITY_KEY]);
}

#[test]
fn limits_are_told_with_the_value() {
    let mut wrong = identity();
    wrong.schema.oldest = 9;
    let refused = encode_identity(&wrong).expect_err("empty range");
    assert!(refused.to_string().contains("9 to 2"), "{refused}");
    let leads = (0..=2_048).map(|shard| (shard, 1)).collect();
    let refused = encode_leads(&leads).expect_err("too many");
    assert!(refused.to_string().contains("2049"), "{refused}");
    let leads = (0..2_048).map(|shard| (shard, u64::MAX)).collect();
    let refused = encode_leads(&leads).expect_err("too large");
    assert!(matches!(
        refused,
        PublishError::TooLarge { key: LEADS_KEY, .. }
    ));
    let why = "x".repeat(5_000);
    let told = encode_state(&MemberState::NotReady { why }).expect("cut");
    assert!(told.len() < 300, "{}", told.len());
    for bad in [
        "",
        "host",
        ":80",
        "host:0",
        "host:65536",
        "a b:80",
        "h\n:80",
    ] {
        let refused = Endpoint::new(bad).expect_err("refused");
        assert!(refused.to_string().contains("host:port"), "{refused}");
    }
}

proptest! {
    #[test]
    fn any_text_under_any_key_is_read_or_named(text in ".{0,200}") {
        for key in [IDENTITY_KEY, STATE_KEY, LOAD_KEY, LEADS_KEY] {
            let document = Document::decode([(key, text.as_str())]);
            prop_assert!(document.unreadable.len() <= 1);
        }
    }

    #[test]
    fn leads_come_back(leads in proptest::collection::btree_map(any::<u32>(), any::<u64>(), 0..500)) {
        let text = encode_leads(&leads).expect("fits");
        let document = Document::decode([(LEADS_KEY, text.as_str())]);
        prop_assert_eq!(document.leads, leads);
    }
}
