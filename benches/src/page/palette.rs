//! How lines are told apart: the same colour for the same map in every picture.

use std::collections::HashMap;

/// A colour, whose shades for the light and the dark theme are in the style sheet under this name.
type Hue = &'static str;

/// The maps. Relatives share a colour and differ in their dashes; no two neighbours in the list are close to each other
/// for colour-blind readers.
const MAPS: &[(&str, Hue, usize)] = &[
    ("readmostly", "red", 0),
    ("readmostly-pinned", "red", 1),
    ("dashmap", "blue", 0),
    ("papaya", "green", 0),
    ("papaya-pinned", "green", 1),
    ("scc-index", "purple", 0),
    ("scc-map", "purple", 1),
    ("flurry", "amber", 0),
    ("std-rwlock", "grey", 0),
    ("std-mutex", "grey", 1),
    ("rwlock", "grey", 2), // as the service calls it
    ("parking-lot-rwlock", "stone", 0),
    ("parking-lot-mutex", "stone", 1),
    ("arc-swap", "sky", 0),
    ("arc-swap-cache", "sky", 1),
    ("evmap", "olive", 0),
    ("moka", "indigo", 0),
    ("quick-cache", "brown", 0),
    ("hashbrown", "ink", 2),
];

/// For what is no map.
const OTHERS: [Hue; 8] = ["blue", "amber", "green", "purple", "sky", "olive", "brown", "grey"];

/// The ways to dash a line, named so in the style sheet.
const DASHES: [&str; 4] = ["solid", "dashed", "dotted", "mixed"];

/// The look of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    hue: Hue,
    dash: usize,
    /// Whether it is the map that the report is about.
    is_ours: bool,
}

impl Look {
    /// Classes of the style sheet.
    pub(super) fn classes(self) -> String {
        let ours = if self.is_ours { " ours" } else { "" };
        format!("{} {}{ours}", self.hue, DASHES[self.dash])
    }

    pub(super) fn is_ours(self) -> bool {
        self.is_ours
    }

    /// Whether its line is not interrupted, and its marks therefore filled.
    pub(super) fn is_solid(self) -> bool {
        self.dash == 0
    }
}

/// Whether a name is that of the map that the report is about, or begins with it.
pub(super) fn is_ours(name: &str) -> bool {
    map_of(name).is_some_and(|(map, ..)| map.starts_with("readmostly"))
}

/// Whether a name is exactly that of the map that the report is about, or of one of its variants.
pub(super) fn is_our_name(name: &str) -> bool {
    map_of(name).is_some_and(|(map, ..)| *map == name && is_ours(map))
}

/// The looks of lines that are drawn together. If several belong to one map, they differ in their dashes.
pub(super) fn looks<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Look> {
    let mut seen: HashMap<(Hue, usize), usize> = HashMap::new();
    let mut others = 0;
    let look = |name| {
        let (hue, dash) = map_of(name).map_or_else(
            || {
                others += 1;
                (OTHERS[(others - 1) % OTHERS.len()], (others - 1) / OTHERS.len())
            },
            |&(_, hue, dash)| (hue, dash),
        );
        let earlier = seen.entry((hue, dash)).or_default();
        let dash = (dash + *earlier) % DASHES.len();
        *earlier += 1;
        Look { hue, dash, is_ours: is_ours(name) }
    };
    names.into_iter().map(look).collect()
}

/// The map whose name is the longest beginning of `name`.
fn map_of(name: &str) -> Option<&'static (&'static str, Hue, usize)> {
    let begins = |map: &str| {
        name.strip_prefix(map).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c)))
    };
    MAPS.iter().filter(|(map, ..)| begins(map)).max_by_key(|(map, ..)| map.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Peer;

    #[test]
    fn every_map_looks_different() {
        for peer in Peer::ALL {
            assert!(MAPS.iter().any(|(map, ..)| *map == peer.name()), "expected a colour for {peer}");
        }
        let looks = looks(MAPS.iter().map(|(map, ..)| *map));
        for (at, look) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(look), "{} looks like another map", MAPS[at].0);
        }
        assert!(looks[0].is_ours() && looks[1].is_ours() && !looks[2].is_ours());
    }

    #[test]
    fn a_map_keeps_its_colour_under_longer_names() {
        let [plain] = looks(["papaya"])[..] else { unreachable!() };
        let [first, second] = looks(["papaya reads", "papaya, writes"])[..] else { unreachable!() };
        assert_eq!(first, plain);
        assert_eq!((second.hue, second.is_solid()), (plain.hue, false));
        assert_eq!(map_of("readmostly-pinned, P99").unwrap().0, "readmostly-pinned");
        assert!(map_of("mokapot").is_none());
    }

    #[test]
    fn whatever_is_drawn_has_a_colour_and_a_dash_in_the_style_sheet() {
        let style = include_str!("style.css");
        for hue in MAPS.iter().map(|(_, hue, _)| *hue).chain(OTHERS) {
            assert_eq!(style.matches(&format!("--{hue}: ")).count(), 2, "expected {hue} in both themes");
            assert!(style.contains(&format!(".{hue} {{")), "expected a rule for {hue}");
        }
        for dash in &DASHES[1..] {
            assert!(style.contains(&format!(".{dash} ")), "expected a rule for {dash}");
        }
    }

    #[test]
    fn many_unknown_lines_still_differ() {
        let names: Vec<String> = (0..20).map(|i| format!("line {i}")).collect();
        let looks = looks(names.iter().map(String::as_str));
        for (at, look) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(look), "line {at} looks like another");
        }
    }
}
