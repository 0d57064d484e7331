use super::*;

fn load_text(text: &str, overrides: &Overrides) -> Result<Scenario, LoadError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    load(Some(file.path()), overrides, |_| 64)
}

fn refused(text: &str) -> String {
    load_text(text, &Overrides::default()).unwrap_err().to_string()
}

fn phases(scenario: &Scenario) -> Vec<(String, u64)> {
    scenario.phases.iter().map(|phase| (phase.name.clone(), phase.duration.as_secs())).collect()
}

#[test]
fn without_a_file() {
    let mut overrides = Overrides::default();
    overrides.set("subscribers.count", "1000").unwrap();
    overrides.duration = Some(Duration::from_secs(3));
    let scenario = load(None, &overrides, |_| 64).unwrap();
    assert_eq!(scenario.subscribers.count, 1_000);
    assert_eq!(phases(&scenario), [("warm-up".to_owned(), 2), ("measured".to_owned(), 3)]);
}

#[test]
fn flags_win_over_the_file() {
    let mut overrides = Overrides::default();
    overrides.set("publishers.window", "8").unwrap();
    overrides.warm_up = Some(Duration::ZERO);
    let text = "[publishers]\ncount = 3\nrate_per_second = 5\n[[phase]]\nkind = 'warm-up'\nduration = '1s'\n\
        [[phase]]\nduration = '4s'\n[[phase]]\nduration = '5s'\n";
    let scenario = load_text(text, &overrides).unwrap();
    assert_eq!((scenario.publishers.count, scenario.publishers.window), (3, Some(8)));
    assert_eq!(phases(&scenario), [("measured-1".to_owned(), 4), ("measured-2".to_owned(), 5)]);

    overrides.duration = Some(Duration::from_secs(1));
    let said = load_text(text, &overrides).unwrap_err().to_string();
    assert!(said.contains("there are 2: use --phase"), "{said}");

    overrides.duration = None;
    overrides.phase("measured:7s").unwrap();
    assert_eq!(phases(&load_text(text, &overrides).unwrap()), [("measured".to_owned(), 7)]);
}

#[test]
fn all_unknown_keys_with_line_and_nearest() {
    let said =
        refused("sede = 1\n\n[publishers]\nrate = 5\n[target.headers]\nanything = 'x'\n[[phase]]\nlength = '1s'");
    for wanted in [
        "line 1: no field \"sede\"; did you mean \"seed\"?",
        "line 4: no field \"publishers.rate\"; did you mean \"publishers.rate_per_second\"?",
        "line 8: no field \"phase.length\"",
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!said.contains("anything"), "{said}");
}

#[test]
fn wrong_types_show_their_line() {
    for (text, wanted) in [
        ("seed = 1\n[rooms]\ncount = 'many'", "line 3"),
        ("seed = 1\n[rooms", "line 2"),
        ("rooms = 3", "line 1"),
        ("[payload]\nformat = 'xml'", "unknown variant `xml`"),
        ("[[phase]]\nduration = '10'", "line 2"),
        ("[[phase]]\nname = 'x'", "missing field `duration`"),
        ("[publishers]\nrate_per_second = 5\nwindow = 2", "publishers.rate_per_second"),
    ] {
        let said = refused(text);
        assert!(said.contains(wanted), "{text}: {said}");
    }
    let missing = load(Some(Path::new("nowhere.toml")), &Overrides::default(), |_| 64).unwrap_err();
    assert!(missing.to_string().contains("nowhere.toml"));
}

#[test]
fn what_is_printed_loads_as_the_same() {
    for text in [
        "",
        "name = 'a \"quoted\" one'\n[publishers]\nwindow = 4\n[target]\nheaders = { Origin = 'x' }",
        "[limits]\nrun_time_max = '5m'\n[subscribers]\nsource_addresses = ['127.0.0.1']\nconnects_per_second = 2.5",
        "[thresholds]\n'latency.p99' = '<= 20ms'\n[[phase]]\nduration = '1500ms'\nrate_per_second = 3",
    ] {
        let scenario = load_text(text, &Overrides::default()).unwrap();
        let printed = to_toml(&scenario);
        assert_eq!(load_text(&printed, &Overrides::default()).unwrap_or_else(|error| panic!("{error}\n{printed}")), {
            let mut wanted = scenario;
            if wanted.publishers.window.is_some() {
                wanted.publishers.rate_per_second = Scenario::default().publishers.rate_per_second;
            }
            wanted
        });
    }
}
