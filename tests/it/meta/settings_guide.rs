//! The guide of the settings lists every setter.

use std::collections::BTreeSet;

const API: &str = include_str!("../../public_api/api.txt");
const GUIDE: &str = include_str!("../../../src/guide/settings.md");

#[test]
fn the_guide_of_the_settings_names_every_setter_of_the_layer() {
    let setters: BTreeSet<_> = API
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("pub fn tower_idempotency::IdempotencyLayer<St>::")?;
            let (name, rest) = line.split_once('(')?;
            let is_setter = rest.starts_with("self") && rest.contains("-> Self");
            is_setter.then(|| name.split('<').next().unwrap_or(name))
        })
        .collect();
    assert!(setters.len() > 25, "the setters were not found: {setters:?}");
    let named = |name: &&str| GUIDE.contains(&format!("`{name}`"));
    let missing: Vec<_> = setters.iter().filter(|name| !named(name)).collect();
    assert!(missing.is_empty(), "src/guide/settings.md has no row for {missing:?}");
}
