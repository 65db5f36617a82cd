use crate::draw::{number, stack_dot, stack_mermaid, stack_svg, stack_text};
use crate::model::tests::{CACHED_SITE, WEB_SHOP, sample};

#[test]
fn numbers_are_short() {
    for (value, text) in [
        (0.0, "0"),
        (0.0125, "0.013"),
        (3.456_7, "3.46"),
        (120.0, "120"),
        (9_999.0, "9999"),
        (12_345.0, "12.3k"),
        (2.5e9, "2.5G"),
        (f64::INFINITY, "∞"),
    ] {
        assert_eq!(number(value), text);
    }
}

#[test]
fn the_terminal_shows_tree_and_tables() {
    let text = stack_text(&sample(CACHED_SITE).model).expect("drawn");
    for part in [
        "cached-site: 902 requests/s",
        "nginx 2 x small",
        "└─ app 8 x small",
        "   ├─ cache 2 x big-memory",
        "missed by cache",
        "in parallel",
        "TIER ",
        "LINK ",
        "VOLUME ",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn every_tier_and_call_is_in_every_picture() {
    for text in [WEB_SHOP, CACHED_SITE] {
        let model = sample(text).model;
        let dot = stack_dot(&model).expect("drawn");
        let mermaid = stack_mermaid(&model).expect("drawn");
        let svg = stack_svg(&model).expect("drawn");
        for tier in model.tiers.keys() {
            for picture in [&dot, &mermaid, &svg] {
                assert!(
                    picture.contains(tier.as_str()),
                    "{tier} is not in\n{picture}"
                );
            }
        }
        for call in &model.calls {
            let edge = format!("\"{}\" -> \"{}\"", call.from, call.to);
            assert!(dot.contains(&edge), "{dot}");
        }
    }
}

#[test]
fn the_svg_is_balanced_and_knows_the_dark() {
    let svg = stack_svg(&sample(WEB_SHOP).model).expect("drawn");
    assert!(svg.contains("prefers-color-scheme:dark"));
    assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    assert_eq!(
        svg.matches("<text ").count(),
        svg.matches("</text>").count()
    );
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}
