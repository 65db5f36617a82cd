//! Writes an imported model as text, with a remark at each value that was not in the source.

use crate::import::gap::Gap;
use crate::model::StackModel;
use std::collections::BTreeMap;
use twinscale_cluster_config::join;

/// Writes the remark behind a value that was not in the source.
pub(crate) fn remark(stated: &str, hint: &str) -> String {
    format!("  # not in the file: stated as {stated}; {hint}")
}

/// Writes the model; every remark begins with `not in the file`.
pub(crate) fn annotated(model: &StackModel, file: &str, gaps: &[Gap], notes: &[String]) -> String {
    let mut page = String::new();
    let mut line = |text: &str| {
        // A remark is one line, whatever a name of a file or a value holds.
        let text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        page.push_str("# ");
        page.push_str(&text);
        page.push('\n');
    };
    line(&format!(
        "A first model, imported from {file}. What is marked was not in the file: measure it."
    ));
    for note in notes {
        line(&format!("note: {note}"));
    }
    for gap in gaps.iter().filter(|gap| gap.stated.is_none()) {
        line(&format!("not in the file: {}: {}", gap.key, gap.hint));
    }
    let stated: BTreeMap<&str, &Gap> = gaps
        .iter()
        .filter(|gap| gap.stated.is_some())
        .map(|gap| (gap.key.as_str(), gap))
        .collect();
    let mut table = String::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for written in model.to_toml().lines() {
        page.push_str(written);
        if let Some(list) = written
            .strip_prefix("[[")
            .and_then(|rest| rest.strip_suffix("]]"))
        {
            let index = counts.entry(list.to_owned()).or_insert(0);
            table = format!("{list}[{index}]");
            *index += 1;
        } else if let Some(name) = written
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut table);
        } else if let Some((key, _)) = written.split_once(" = ")
            && let Some(gap) = stated.get(join(&table, key).as_str())
        {
            let stated = gap.stated.as_deref().unwrap_or_default();
            page.push_str(&remark(stated, gap.hint));
        }
        page.push('\n');
    }
    page
}
