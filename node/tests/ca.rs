//! `twinscale ca` from outside: the files that it makes and what it refuses.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn ca(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinscale"))
        .arg("ca")
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("the built binary starts")
}

#[track_caller]
fn done(folder: &TempDir, arguments: &[&str]) -> String {
    let output = ca(folder, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn done_json(folder: &TempDir, arguments: &[&str]) -> Value {
    let text = done(folder, arguments);
    serde_json::from_str(&text).expect(&text)
}

/// It must end with the code, say all the words, and print nothing on standard output.
#[track_caller]
fn refuses(folder: &TempDir, arguments: &[&str], code: i32, words: &[&str]) {
    let output = ca(folder, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    for word in words {
        assert!(
            told.contains(word),
            "{arguments:?}: `{word}` is not in: {told}"
        );
    }
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(!told.contains("panicked"), "{told}");
}

/// A folder with the authority `authority` of cluster `c1`.
fn with_authority() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    done(&folder, &["init", "authority", "--cluster", "c1"]);
    folder
}

fn mode(path: &Path) -> u32 {
    let found = fs::metadata(path).expect("a file");
    found.permissions().mode() & 0o777
}

#[test]
fn keys_are_their_owners_and_a_node_would_take_what_is_issued() {
    let folder = with_authority();
    let issue = ["issue", "authority", "node/a", "--out", "a", "--json"];
    let issued = done_json(&folder, &issue);
    assert_eq!(issued["who"], "node/a");
    assert_eq!(issued["role"], "node");
    assert_eq!(issued["cluster"], "c1");
    assert_eq!(issued["key_file"], "a/key.pem");
    for key in ["authority/signing.pem", "a/key.pem"] {
        assert_eq!(mode(&folder.path().join(key)), 0o600, "{key}");
    }
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    // Verified as a node would.
    let shown = done_json(&folder, &["show", "a", "--json"]);
    assert_eq!(shown["problem"], Value::Null);
    assert_eq!(shown["certificate"][0]["who"], "node/a");
    assert!((89..=90).contains(&shown["certificate"][0]["days_left"].as_i64().unwrap()));
    assert_eq!(shown["trusted"][0]["role"], "authority");
    let text = done(&folder, &["show", "a/certificate.pem"]);
    assert!(text.contains("node/a") && text.contains("c1"), "{text}");
}

#[test]
fn accounts_are_shown_with_their_role() {
    let folder = with_authority();
    for (who, role) in [("operator/alice", "operator"), ("viewer/bob", "viewer")] {
        let issue = [
            "issue",
            "authority",
            who,
            "--out",
            role,
            "--days",
            "3",
            "--json",
        ];
        let issued = done_json(&folder, &issue);
        assert_eq!(
            (&issued["who"], &issued["role"]),
            (&who.into(), &role.into())
        );
        assert!((2..=3).contains(&issued["days_left"].as_i64().unwrap()));
    }
}

#[test]
fn a_rotation_goes_its_three_steps_and_no_other() {
    let folder = with_authority();
    done(&folder, &["issue", "authority", "node/a", "--out", "a"]);
    let before = done_json(&folder, &["show", "authority", "--json"]);
    assert_eq!(before["rotation"], "steady");
    refuses(
        &folder,
        &["rotate", "authority", "sign"],
        3,
        &["steady", "sign", "the next is `trust`"],
    );
    for (step, state, trusted) in [
        ("trust", "trusting", 2),
        ("sign", "signing", 2),
        ("drop", "steady", 1),
    ] {
        let shown = done_json(&folder, &["rotate", "authority", step, "--json"]);
        assert_eq!(shown["rotation"], state);
        assert_eq!(
            shown["trusted"].as_array().unwrap().len(),
            trusted,
            "{step}"
        );
    }
    let after = done_json(&folder, &["show", "authority", "--json"]);
    assert_ne!(before["signing"]["who"], after["signing"]["who"]);
    // The old certificate with the new authorities: a node would refuse it, and it is said.
    fs::copy(
        folder.path().join("authority/ca.pem"),
        folder.path().join("a/ca.pem"),
    )
    .expect("a copy");
    let output = ca(&folder, &["show", "a"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("a node would refuse a"), "{told}");
    done(&folder, &["issue", "authority", "node/a", "--out", "a"]);
    done(&folder, &["show", "a"]);
}

#[test]
fn what_would_be_overwritten_is_refused() {
    let folder = with_authority();
    let signing = || fs::read(folder.path().join("authority/signing.pem")).expect("a key");
    let before = signing();
    refuses(
        &folder,
        &["init", "authority", "--cluster", "c2"],
        3,
        &["signing.pem exists"],
    );
    refuses(
        &folder,
        &["issue", "authority", "node/a", "--out", "authority"],
        3,
        &["folder of an authority", "hint:"],
    );
    assert_eq!(before, signing());
    done(&folder, &["issue", "authority", "node/a", "--out", "a"]);
    let key = || fs::read(folder.path().join("a/key.pem")).expect("a key");
    let before = key();
    refuses(
        &folder,
        &["issue", "authority", "node/b", "--out", "a"],
        3,
        &["is of node/a of cluster c1", "hint: choose another folder"],
    );
    assert_eq!(before, key());
}

#[test]
fn what_cannot_be_is_refused_with_the_remedy() {
    let folder = with_authority();
    refuses(
        &folder,
        &["init", "x", "--cluster", "Not A Cluster"],
        2,
        &["cluster id"],
    );
    refuses(
        &folder,
        &["issue", "authority", "root/a", "--out", "a"],
        2,
        &["want node/<id>, operator/<name> or viewer/<name>"],
    );
    let long = format!("node/{}", "x".repeat(60));
    refuses(
        &folder,
        &["issue", "authority", &long, "--out", "a"],
        3,
        &["at most 58 characters"],
    );
    refuses(
        &folder,
        &[
            "issue",
            "authority",
            "node/a",
            "--out",
            "a",
            "--days",
            "5000",
        ],
        3,
        &["rotate it, or ask for a shorter validity"],
    );
    refuses(
        &folder,
        &["issue", "authority", "node/a", "--out", "a", "--days", "0"],
        2,
        &["--days"],
    );
    assert!(!folder.path().join("a").exists());
    refuses(
        &folder,
        &["issue", "nowhere", "node/a", "--out", "a"],
        4,
        &["nowhere/signing.pem", "hint:"],
    );
    fs::write(folder.path().join("text"), "no certificate").expect("a file");
    refuses(&folder, &["show", "text"], 3, &["holds no certificate"]);
    refuses(&folder, &["show", "nowhere"], 4, &["nowhere", "hint:"]);
    refuses(&folder, &["show", "."], 3, &["neither certificate.pem nor"]);
}

#[test]
fn a_key_that_others_can_read_is_told() {
    let folder = with_authority();
    done(&folder, &["issue", "authority", "node/a", "--out", "a"]);
    let key = folder.path().join("a/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let output = ca(&folder, &["show", "a", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let shown: Value = serde_json::from_slice(&output.stdout).expect("json");
    let problem = shown["problem"].as_str().expect("a problem");
    assert!(problem.contains("key.pem"), "{problem}");
}
