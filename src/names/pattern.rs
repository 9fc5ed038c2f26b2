use wildmatch::WildMatch;

/// Whether a name fits a pattern of TUF (specification 4.5): `*` stands for any characters and `?` for one, and neither for a
/// slash.
pub fn fits_pattern(pattern: &str, name: &str) -> bool {
    let (patterns, parts) = (pattern.split('/'), name.split('/'));
    patterns.clone().count() == parts.clone().count() && patterns.zip(parts).all(|(pattern, part)| fits_part(pattern, part))
}

/// The same, with `**` for any number of directories.
pub fn fits_tree_pattern(pattern: &str, name: &str) -> bool {
    fn fit(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => (0..=name.len()).any(|skipped| fit(rest, &name[skipped..])),
            (Some((first, pattern)), Some((part, name))) => fits_part(first, part) && fit(pattern, name),
            _ => false,
        }
    }
    fit(&pattern.split('/').collect::<Vec<_>>(), &name.split('/').collect::<Vec<_>>())
}

fn fits_part(pattern: &str, part: &str) -> bool {
    WildMatch::new(pattern).matches(part)
}

#[cfg(test)]
mod tests {
    use super::{fits_pattern, fits_tree_pattern};

    #[test]
    fn wildcards_stay_within_a_part() {
        for (pattern, name, fits) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*/c", "a/b/c", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("?", "\u{e9}", true),
            ("a**c", "abbc", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("", "", true),
            ("[ab]", "a", false),
        ] {
            assert_eq!(fits_pattern(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn two_stars_are_any_number_of_directories() {
        for (pattern, name, fits) in [
            ("**", "a/b/c", true),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("a/**", "a", true),
            ("a/**/z.zip", "a/b/c/z.zip", true),
            ("a/**/z.zip", "b/z.zip", false),
            ("**/*.zip", "a/b.zip", true),
        ] {
            assert_eq!(fits_tree_pattern(pattern, name), fits, "{pattern} {name}");
        }
    }
}
