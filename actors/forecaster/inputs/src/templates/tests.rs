use super::*;
use crate::InputSecret;
use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn secret(byte: u8) -> InputSecret {
    InputSecret::take(&mut [byte; 32])
}

fn miner() -> TemplateMiner {
    TemplateMiner::new(&secret(1), TemplateText::Kept)
}

/// A line of one of some forms, with values that vary.
fn line(rng: &mut ChaCha8Rng) -> String {
    let number: u32 = rng.random_range(0..100_000);
    match rng.random_range(0..4) {
        0 => format!(
            "Accepted password for user u{number} from 10.0.0.{}",
            number % 256
        ),
        1 => format!("GET /item/{number} took {number} ms"),
        2 => format!("cache miss, key k{number}"),
        _ => format!("checkpoint complete: wrote {number} buffers"),
    }
}

#[test]
fn forms_become_templates_with_the_texts_of_their_constants() {
    let (mut miner, mut rng) = (miner(), ChaCha8Rng::seed_from_u64(5));
    for _ in 0..1_000 {
        miner.observe(&line(&mut rng));
    }
    let mut texts: Vec<String> = miner
        .templates()
        .into_iter()
        .map(|view| view.text)
        .collect();
    texts.sort();
    let wanted = [
        "Accepted password for user <id> from <ip>",
        "GET <path> took <num> ms",
        "cache miss key <id>",
        "checkpoint complete wrote <num> buffers",
    ];
    assert_eq!(texts, wanted);
    let lines: u64 = miner.templates().iter().map(|view| view.lines).sum();
    assert_eq!(lines, 1_000);
}

#[test]
fn places_that_differ_become_wildcards_and_lose_their_words() {
    let mut miner = miner();
    for _ in 0..20 {
        miner.observe("disk sda is full now");
    }
    assert_eq!(miner.templates()[0].text, "disk sda is full now");
    let id = miner.observe("disk sdb is full now");
    assert_eq!(id, TemplateId(1));
    assert_eq!(miner.templates()[0].text, "disk <*> is full now");
}

#[test]
fn a_word_of_few_lines_is_nowhere_as_text() {
    let mut miner = miner();
    for _ in 1..ESTABLISHED_LINES_MIN {
        assert_eq!(
            miner.observe("welcome back dear Annegret"),
            TemplateId::OTHER
        );
    }
    let bytes = miner.to_bytes().expect("small");
    let holds = |bytes: &[u8]| bytes.windows(8).any(|part| part == b"Annegret");
    assert!(!holds(&bytes) && !holds(format!("{miner:?}").as_bytes()));
    for _ in 0..ESTABLISHED_LINES_MIN {
        miner.observe("welcome back dear Heribert");
    }
    let bytes = miner.to_bytes().expect("small");
    assert!(!holds(&bytes));
    assert_eq!(miner.templates()[0].text, "welcome back dear <*>");
    let mut silent = TemplateMiner::new(&secret(1), TemplateText::Never);
    for _ in 0..50 {
        silent.observe("welcome back dear 7");
    }
    assert_eq!(silent.templates()[0].text, "<word> <word> <word> <num>");
}

#[test]
fn a_million_random_lines_keep_templates_and_memory_bounded() {
    let (mut miner, mut rng) = (miner(), ChaCha8Rng::seed_from_u64(6));
    for _ in 0..100 {
        miner.observe(&line(&mut rng));
    }
    let before = miner.templates();
    let mut text = String::new();
    let mut bytes_most = 0;
    for index in 0..1_000_000 {
        text.clear();
        for _ in 0..rng.random_range(0..12) {
            text.extend(
                (0..rng.random_range(1..6)).map(|_| char::from(rng.random_range(b'a'..=b'z'))),
            );
            text.push(' ');
        }
        miner.observe(&text);
        assert!(miner.tentative_count() <= TENTATIVE_MAX);
        assert!(miner.established_count() <= ESTABLISHED_MAX);
        if index % 50_000 == 0 {
            bytes_most = bytes_most.max(miner.to_bytes().expect("small").len());
        }
    }
    // At most (512 + 512) templates of 48 codes of 9 bytes and words of 33.
    assert!(bytes_most < 300_000, "{bytes_most}");
    let after = miner.templates();
    for view in before {
        assert!(
            after
                .iter()
                .any(|one| one.id == view.id && one.text == view.text)
        );
    }
}

#[test]
fn a_state_of_another_secret_or_beyond_a_limit_is_refused() {
    let mut miner = miner();
    miner.observe("a b c");
    let bytes = miner.to_bytes().expect("small");
    let read = |secret: &InputSecret, bytes: &[u8]| {
        TemplateMiner::from_bytes(bytes, secret, TemplateText::Kept)
    };
    assert!(read(&secret(1), &bytes).is_ok());
    let error = read(&secret(2), &bytes).expect_err("another secret");
    assert!(error.to_string().contains("another secret"), "{error}");
    assert!(read(&secret(1), &bytes[..bytes.len() - 1]).is_err());
}

proptest! {
    #[test]
    fn a_break_changes_no_number(seed in any::<u64>(), at in 0_usize..300) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let words = ["alpha", "beta", "gamma", "delta", "7", "/x"];
        let lines: Vec<String> = (0..300)
            .map(|_| {
                let count = rng.random_range(1..5);
                let picked: Vec<&str> = (0..count).map(|_| words[rng.random_range(0..words.len())]).collect();
                picked.join(" ")
            })
            .collect();
        let mut whole = miner();
        let wanted: Vec<TemplateId> = lines.iter().map(|line| whole.observe(line)).collect();
        let mut broken = miner();
        let mut found = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            if index == at {
                let bytes = broken.to_bytes().expect("small");
                broken = TemplateMiner::from_bytes(&bytes, &secret(1), TemplateText::Kept).expect("its own");
            }
            found.push(broken.observe(line));
        }
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(whole.to_bytes().expect("small"), broken.to_bytes().expect("small"));
    }

    #[test]
    fn any_text_has_a_template(lines in proptest::collection::vec("\\PC{0,120}", 1..60)) {
        let mut miner = miner();
        for line in &lines {
            miner.observe(line);
        }
        prop_assert_eq!(miner.line_count(), lines.len() as u64);
        let bytes = miner.to_bytes().expect("small");
        prop_assert!(TemplateMiner::from_bytes(&bytes, &secret(1), TemplateText::Kept).is_ok());
    }
}
