use super::*;

/// The problems of a scenario with a measured phase, or with those of the text.
fn problems(text: &str) -> Vec<String> {
    let mut scenario: Scenario = toml::from_str(text).unwrap();
    if scenario.phases.is_empty() {
        scenario.phases = toml::from_str::<Scenario>("[[phase]]\nname = 'm'\nduration = '1s'").unwrap().phases;
    }
    let local = |address: IpAddr| address.is_loopback();
    check(&scenario, |format| if format == Format::Json { 80 } else { 64 }, &local)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_default_is_fine() {
    assert_eq!(problems(""), <[String; 0]>::default());
}

#[test]
fn each_problem_names_its_field_and_both_values() {
    for (text, wanted) in [
        ("name = 'a/b'", "name: \"a/b\""),
        ("[thresholds]\n'latency.p98' = '<= 1ms'", "thresholds: no metric \"latency.p98\""),
        ("[thresholds]\n'lost' = '<= 1ms'", "thresholds: lost"),
        ("[target]\nurl = 'http://h/{room}'", "target.url: \"http://h/{room}\": must begin with ws://"),
        ("[target]\nurl = 'wss://h/'", "no TLS"),
        ("[target]\nurl = 'ws:///x'", "target.url: \"ws:///x\""),
        ("[target]\nurl = 'ws://h/'\n[rooms]\ncount = 2", "target.url: no {room} in \"ws://h/\", and rooms.count is 2"),
        (
            "[target]\nadapter = 'template'\nurl = 'ws://h/'\npublish_template = '{payload}'\n[rooms]\ncount = 2",
            "target.url: no {room}",
        ),
        ("[target]\npublish = 'http'", "target.publish_url: is missing"),
        ("[target]\nadapter = 'template'", "target.publish_template: is missing"),
        ("[target]\nadapter = 'template'\npublish_template = 'x'", "target.publish_template: \"x\""),
        ("[target]\nhello = 'x'", "target.hello: has no effect"),
        ("[target]\nadapter = 'pusher'\nurl = 'ws://h/'\napp_secret = 's'", "target.app_key: is missing"),
        ("[target.headers]\n'a b' = 'x'", "target.headers: \"a b: x\""),
        ("[rooms]\ncount = 0", "rooms.count: 0, must be at least 1"),
        ("[rooms]\ncount = 2\nname = 'x'", "rooms.name: no {n}"),
        ("[rooms]\nspread = 'zipf'\nzipf_exponent = 0.0", "rooms.zipf_exponent: 0, must be above 0"),
        ("[subscribers]\ncount = 0", "subscribers.count: 0"),
        ("[subscribers]\nconnects_per_second = -1.0", "subscribers.connects_per_second: -1"),
        ("[subscribers]\nhandshake_timeout = '0s'", "subscribers.handshake_timeout: 0ns"),
        ("[subscribers]\nconnected_min = 1.5", "subscribers.connected_min: 1.5"),
        ("[subscribers]\nsource_addresses = ['8.8.8.8']", "8.8.8.8 is no address of this machine"),
        (
            "[mix]\nslow = 60\nstalled = 50",
            "mix: slow 60 + stalled 50 + churning 0 + reconnecting 0 = 110, more than subscribers.count = 100",
        ),
        ("[mix]\nslow = 1\nslow_bytes_per_second = 0", "mix.slow_bytes_per_second: 0"),
        ("[mix]\nchurning = 1\nchurn_stay = '0s'", "mix.churn_stay: 0ns"),
        ("[publishers]\ncount = 0", "publishers.count: 0"),
        ("[publishers]\nrate_per_second = -5", "publishers.rate_per_second: -5"),
        ("[publishers]\nrate_per_second = 0", "nothing would be measured"),
        (
            "[publishers]\nwindow = 1\n[[phase]]\nduration = '1s'\nrate_per_second = 4",
            "phase.rate_per_second: there is",
        ),
        ("[payload]\nbytes = 63", "payload.bytes: 63, must be at least 64"),
        ("[payload]\nformat = 'json'\nbytes = 70", "payload.bytes: 70, must be at least 80"),
        ("[payload]\nbytes_max = 100", "payload.bytes_max: 100, must be at least payload.bytes = 128"),
        ("[payload]\nfile = 'nowhere'", "payload.file: no file nowhere"),
        ("[[phase]]\nkind = 'warm-up'\nduration = '1s'", "phase: none has kind"),
        ("[[phase]]\nduration = '0s'", "phase.duration: 0ns"),
        ("[[phase]]\nname = 'tail'\nduration = '1s'", "phase.name: \"tail\""),
        ("[[phase]]\nname = 'x'\nduration = '1s'\n[[phase]]\nname = 'x'\nduration = '1s'", "\"x\" stands twice"),
        ("[limits]\ngenerator_cpu_max = 2.0", "limits.generator_cpu_max: 2"),
        ("[limits]\nrun_time_max = '500ms'", "limits.run_time_max: 500ms, and the phases alone take 1s"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(wanted)), "{text}: {found:?}");
        assert_eq!(found.len(), 1, "{text}: {found:?}");
    }
}

#[test]
fn all_at_once() {
    let found = problems("[rooms]\ncount = 0\n[payload]\nbytes = 1\n[publishers]\ncount = 0\n[subscribers]\ncount = 0");
    assert_eq!(found.len(), 4, "{found:?}");
}
