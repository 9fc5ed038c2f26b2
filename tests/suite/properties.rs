//! Every parser on arbitrary input: it never panics, and what it accepts has the stated meaning.

use proptest::prelude::*;
use publish::channels::ChannelsFile;
use publish::config::Config;
use publish::digest::Digests;
use publish::metadata::canonical::{canonical, write_canonical};
use publish::metadata::{Envelope, Root, Target, TargetEdits, Targets};
use publish::metadata::{format_expiry, is_exact, parse_expiry, parse_moment, parse_span, whole_second};
use publish::names::{Platform, ReleaseVersion, TargetPath};
use serde_json::Value;
use std::collections::BTreeMap;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_way_to_canonical_json_is_the_slow_way(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let mut slow = Vec::new();
        write_canonical(&mut slow, &value).unwrap();
        prop_assert_eq!(canonical(&text).unwrap().into_owned(), slow);
    }

    #[test]
    fn canonical_json_never_accepts_what_serde_refuses(text in "[\\[\\]{}\":,0-9a-z\\\\\\- ]{0,24}") {
        if let Ok(out) = canonical(text.as_bytes()) {
            let value: Value = serde_json::from_str(&text).unwrap();
            let mut slow = Vec::new();
            write_canonical(&mut slow, &value).unwrap();
            prop_assert_eq!(out.into_owned(), slow);
        }
    }

    #[test]
    fn spans_and_moments_never_panic(text in any::<String>(), digits in "[0-9]{0,30}", end in any::<char>(), form in "[0-9+\\-]{4,6}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,3})?(Z|z|[+-][0-9]{2}:[0-9]{2})?)?") {
        let now = chrono::Utc::now();
        for text in [text, format!("{digits}{end}"), format!("{digits}d"), format!("{digits}m"), form] {
            if let Ok(span) = parse_span(&text) {
                prop_assert!(span >= chrono::TimeDelta::zero());
                prop_assert!(text.is_ascii() && text[..text.len() - 1].bytes().all(|byte| byte.is_ascii_digit()), "{}", text);
            }
            if let Ok(moment) = parse_moment(&text, now) {
                prop_assert!(is_exact(&format_expiry(moment)), "{}", text);
            }
            if let Ok(expires) = parse_expiry(&text) {
                prop_assert!(is_exact(&format_expiry(whole_second(expires))) || expires.timestamp() < 0, "{}", text);
            }
        }
    }

    #[test]
    fn accepted_target_paths_stay_inside(name in any::<String>()) {
        if let Ok(path) = TargetPath::parse(name.clone()) {
            prop_assert_eq!(path.as_str(), &name);
            let components: Vec<_> = std::path::Path::new(&name).components().collect();
            prop_assert!(components.iter().all(|part| matches!(part, std::path::Component::Normal(_))));
            prop_assert_eq!(components.len(), name.split('/').count());
            prop_assert!(!name.chars().any(char::is_control));
        }
    }

    #[test]
    fn parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in any::<String>()) {
        let _ = ChannelsFile::parse(&bytes, "f");
        let _ = ChannelsFile::parse(text.as_bytes(), "f");
        let _ = Config::parse(&text, "f");
        let _ = canonical(&bytes);
        let _ = Platform::parse(&text);
        let _ = ReleaseVersion::parse(&text);
        let _ = publish::openpgp::DetachedSignature::parse(&bytes, "f");
        let _ = publish::openpgp::SigningKey::load(&bytes, "f", chrono::Utc::now(), &|_| unreachable!());
        if let Ok(envelope) = Envelope::parse(&bytes, "f") {
            let _ = Root::parse(&envelope, "f");
        }
    }

    #[test]
    fn yaml_shaped_text_never_breaks_the_channels_parser(text in "[ \\n\\t\\-:&*!\\[\\]{}#'\"a-c0-2.]{0,60}") {
        if let Ok(file) = ChannelsFile::parse(text.as_bytes(), "f") {
            prop_assert!(file.assignments.iter().all(|assignment| assignment.line <= text.lines().count().max(1)));
        }
        let _ = Config::parse(&text, "f");
    }

    #[test]
    fn editing_targets_is_editing_a_map(
        old in prop::collection::btree_map("[a-d/]{1,4}", any::<u8>(), 0..20),
        edits in prop::collection::btree_map("[a-d/]{1,4}", prop::option::of(any::<u8>()), 0..20),
    ) {
        let target = |seed: u8| Target::of(&Digests::of(&[seed]));
        let to_edits = |map: &BTreeMap<String, Option<u8>>| -> TargetEdits { map.iter().map(|(name, seed)| (name.clone(), seed.map(target))).collect() };
        let sealed = |json: &[u8]| publish::metadata::seal(json, &[]);
        let first: BTreeMap<String, Option<u8>> = old.iter().map(|(name, seed)| (name.clone(), Some(*seed))).collect();
        let expires = chrono::Utc::now();
        let before = sealed(&Targets::empty().edited(1, expires, &to_edits(&first)).unwrap());
        let targets = Targets::parse(before, "f").unwrap();
        let after = sealed(&targets.edited(2, expires, &to_edits(&edits)).unwrap());
        let mut model = old;
        for (name, seed) in &edits {
            match seed {
                Some(seed) => drop(model.insert(name.clone(), *seed)),
                None => drop(model.remove(name)),
            }
        }
        let envelope = Envelope::parse(&after, "f").unwrap();
        prop_assert!(matches!(envelope.canonical().unwrap(), std::borrow::Cow::Borrowed(_)));
        let targets = Targets::parse(after.clone(), "f").unwrap();
        let found: BTreeMap<String, Target> = targets.names().map(|name| (name.to_owned(), targets.get(name).unwrap().unwrap())).collect();
        prop_assert_eq!(found, model.into_iter().map(|(name, seed)| (name, target(seed))).collect::<BTreeMap<_, _>>());
        for name in targets.names() {
            prop_assert!(targets.below(name).next() == Some(name));
        }
    }
}

#[test]
fn a_deeply_nested_config_is_refused_at_once() {
    let start = std::time::Instant::now();
    for pattern in ["[", "{", "[a,", "{a: ", "{? ", "[{", "- ", "? "] {
        let text = format!("{}{}", if pattern.starts_with(['[', '{']) { "name: " } else { "" }, pattern.repeat(50_000));
        Config::parse(&text, "publish.yaml").unwrap_err();
        // Closed again, many times over.
        let shallow = format!("name: {}", format!("{}{}", "[".repeat(90), "]".repeat(90)).repeat(2000));
        Config::parse(&shallow, "publish.yaml").unwrap_err();
    }
    // It took 25 s and more.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}
