use super::*;
use proptest::prelude::*;

fn check(message: &str, wanted: &str) {
    let mut tokens = Vec::new();
    tokens_of(message, &mut tokens);
    let texts: Vec<&str> = tokens
        .iter()
        .map(|token| match token {
            Token::Masked(mask) => mask.text(),
            Token::Word(word) => word,
        })
        .collect();
    assert_eq!(texts.join(" "), wanted, "{message}");
}

#[test]
fn what_varies_is_masked() {
    check(
        "took 12ms, 3.5 GiB in 7s (99%)",
        "took <num> <num> GiB in <num> <num>",
    );
    check("at 2023-10-11T10:14:15Z or 10:14:15.5", "at <num> or <num>");
    check(
        "ptr 0x7ffe id deadbeef12 sum cafebabe",
        "ptr <hex> id <hex> sum <hex>",
    );
    check(
        "job 123e4567-e89b-12d3-a456-426614174000 done",
        "job <uuid> done",
    );
    check(
        "from 10.0.0.1:8080 and [fe80::1] 10.0.0.0/8",
        "from <ip> and <ip> <ip>",
    );
    check(
        "open /etc/passwd failed; see https://x.de/a?b=c",
        "open <path> failed see <path>",
    );
    check("mail from bob@example.org.", "mail from <email>");
    check("said \"hello \\\" bob\" twice", "said <str> twice");
    check("worker-7 lost shard3", "<id> lost <id>");
    check(
        "bytes=17 path=/x who=bob",
        "bytes <num> path <path> who <value>",
    );
    check("msg=\"two words\" left", "msg <str> left");
}

#[test]
fn what_could_name_somebody_is_masked() {
    check(
        "session opened for user bob by alice",
        "session opened for user <value> by <value>",
    );
    check("user : bob left", "user <value> left");
    check("user:bob left", "user <value> left");
    check("Customer Meier, cancelled", "Customer <value> cancelled");
    check("user Bob van Smith Left", "user <value> van Smith Left");
    check(
        "user Bob B. Smith left",
        "user <value> <value> <value> left",
    );
    check("it's 'Bob Smith' who's here", "it's <str> who's here");
}

#[test]
fn prose_stays() {
    check(
        "Error: connection reset by peer!",
        "Error connection reset by <value>",
    );
    check("", "");
    check("[main] :: ()", "main");
    check("naïve café", "naïve café");
}

proptest! {
    #[test]
    fn tokens_are_bounded_and_no_word_has_a_digit(message in "\\PC{0,200}") {
        let mut tokens = Vec::new();
        tokens_of(&message, &mut tokens);
        prop_assert!(tokens.len() <= TOKENS_MAX);
        for token in tokens {
            if let Token::Word(word) = token {
                prop_assert!(!word.is_empty() && word.len() <= WORD_BYTES_MAX);
                prop_assert!(!word.bytes().any(|byte| byte.is_ascii_digit()));
                prop_assert!(!word.contains(char::is_whitespace));
            }
        }
    }
}
