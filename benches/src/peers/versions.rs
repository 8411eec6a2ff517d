use std::collections::BTreeMap;

/// The versions of the named crates that this program was built with.
pub fn versions(names: &[&'static str]) -> BTreeMap<&'static str, String> {
    let lock = include_str!("../../../Cargo.lock");
    let newest = |name: &str| {
        let header = format!("name = \"{name}\"\nversion = \"");
        lock.match_indices(&header).filter_map(|(at, _)| lock[at + header.len()..].split('"').next()).last()
    };
    names.iter().map(|&name| (name, newest(name).unwrap_or("unknown").to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let versions = versions(&["dashmap", "no-such-crate"]);
        assert!(versions["dashmap"].starts_with("6."), "{versions:?}");
        assert_eq!(versions["no-such-crate"], "unknown");
    }
}
