use super::hits::is_loopback;
use super::*;
use crate::machine::limits::{OpenFiles, Weight};

fn scenario(text: &str) -> Scenario {
    let phase = if text.contains("[[phase]]") { "" } else { "\n[[phase]]\nname = 'm'\nduration = '10s'" };
    toml::from_str(&format!("{text}{phase}")).unwrap()
}

fn plan(text: &str) -> Plan {
    Plan::new(&scenario(text), Drivers::default(), &Limits::default())
}

#[test]
fn rooms_are_filled_evenly_or_by_zipf() {
    for (text, wanted) in [
        ("[rooms]\ncount = 3\n[subscribers]\ncount = 8", vec![3, 3, 2]),
        ("[rooms]\ncount = 3\nspread = 'zipf'\n[subscribers]\ncount = 11", vec![6, 3, 2]),
        ("[rooms]\ncount = 2\nspread = 'zipf'\nzipf_exponent = 40.0\n[subscribers]\ncount = 5", vec![5, 0]),
    ] {
        assert_eq!(members_per_room(&scenario(text)), wanted, "{text}");
    }
    let many = scenario("[rooms]\ncount = 997\nspread = 'zipf'\nzipf_exponent = 0.9\n[subscribers]\ncount = 12345");
    let members = members_per_room(&many);
    assert_eq!(members.iter().sum::<u32>(), 12_345);
    assert!(members.windows(2).all(|pair| pair[0] + 1 >= pair[1]), "larger rooms first");
}

#[test]
fn arithmetic() {
    let plan = plan(
        "[rooms]\ncount = 10\n[subscribers]\ncount = 1000\nconnects_per_second = 500\n\
         [mix]\nstalled = 100\nslow = 100\n\
         [publishers]\ncount = 5\nrate_per_second = 20\n[payload]\nbytes = 100\nbytes_max = 140\n\
         [[phase]]\nname = 'w'\nkind = 'warm-up'\nduration = '2s'\n\
         [[phase]]\nname = 'm'\nduration = '5s'\nrate_per_second = 40\n",
    );
    assert_eq!((plan.members_min, plan.members_max), (100, 100));
    assert_eq!(plan.ramp, Some(Duration::from_secs(2)));
    assert_eq!(plan.total, Duration::from_secs(2 + 7 + 2));
    let rates = plan.phases[1].rates.unwrap();
    let close = |actual: f64, wanted: f64| assert!((actual - wanted).abs() < 1e-6, "{actual} {wanted}");
    close(plan.fan_out, 80.0);
    close(rates.messages, 40.0);
    close(rates.deliveries, 4_000.0);
    close(rates.bytes_to_server, 40.0 * 126.0);
    close(rates.bytes_from_server, 4_000.0 * 122.0);
    close(plan.deliveries_measured.unwrap(), 40.0 * 5.0 * 80.0);
    close(plan.deliveries.unwrap(), 40.0 * 5.0 * 80.0 + 20.0 * 2.0 * 80.0);
    assert_eq!(plan.files_per_worker, 1_000 + 5 + 64);
    assert_eq!(plan.ports_per_address, 1_005);
}

#[test]
fn limits_are_told_with_what_helps() {
    let elsewhere = "[target]\nurl = 'ws://10.0.0.9/{room}'\n";
    for (text, weight, wanted, remedy) in [
        (
            "[subscribers]\ncount = 50000",
            Weight::Prevents,
            "open files of a worker (nofile, hard): the plan needs 50065, there are 20000",
            "--workers 3 ",
        ),
        (
            "[subscribers]\ncount = 19990",
            Weight::Disturbs,
            "open files of the server (nofile, hard): the plan may need 20055",
            "LimitNOFILE",
        ),
        (
            &format!("{elsewhere}[subscribers]\ncount = 10000\n[mix]\nchurning = 2000"),
            Weight::Disturbs,
            "may need 34001, there are 28232",
            "--subscribers-source-addresses",
        ),
        (
            "[subscribers]\ncount = 5000\n[publishers]\nrate_per_second = 200",
            Weight::Disturbs,
            "cores for receiving: the plan may need 3, there are 1",
            "--workers-at",
        ),
        (
            "[subscribers]\ncount = 10000\nconnecting_max = 5000",
            Weight::Disturbs,
            "(somaxconn): the plan may need 5000, there are 4096",
            "--connects-per-second",
        ),
        ("[publishers]\nwindow = 8", Weight::Disturbs, "closed loop of 8", "--rate"),
        (
            "[target]\npublish = 'http'\n[publishers]\nrate_per_second = 3500",
            Weight::Disturbs,
            "3500 posts/s per publisher",
            "--publishers 4",
        ),
        ("[publishers]\nrate_per_second = 0.5", Weight::Disturbs, "about 500 deliveries", "--duration"),
    ] {
        let hits = plan(text).hits;
        let found = hits.iter().find(|hit| hit.text.contains(wanted));
        let found = found.unwrap_or_else(|| panic!("{text}: {hits:#?}"));
        assert_eq!(found.weight, weight, "{text}");
        assert!(found.remedy.contains(remedy), "{text}: {}", found.remedy);
    }
    assert_eq!(plan("").hits, []);
}

#[test]
fn workers_share() {
    let scenario = scenario("[subscribers]\ncount = 30000\n");
    let limits = Limits { cores: 8, open_files: OpenFiles { soft: None, hard: Some(20_000) }, ..Limits::default() };
    let plan = Plan::new(&scenario, Drivers { workers: 2, place: Place::SameMachine }, &limits);
    assert_eq!(plan.files_per_worker, 15_001 + 64);
    assert!(plan.hits.iter().all(|hit| hit.weight == Weight::Disturbs), "{:?}", plan.hits);
    assert_eq!(plan.ports_per_address, 30_001);
    let apart = Plan::new(&scenario, Drivers { workers: 2, place: Place::OwnMachines }, &limits);
    assert_eq!(apart.ports_per_address, 15_001);
}

#[test]
fn loopback_is_recognised() {
    for (url, wanted) in [
        ("ws://127.0.0.1:80/x", true),
        ("ws://localhost/x", true),
        ("ws://[::1]:80/", true),
        ("ws://127.9.9.9?x", true),
        ("ws://10.0.0.1/", false),
        ("ws://localhost.example/", false),
    ] {
        assert_eq!(is_loopback(url), wanted, "{url}");
    }
}

#[test]
fn text_and_json() {
    let plan = plan("[subscribers]\ncount = 10000\n[rooms]\ncount = 3\n[publishers]\nrate_per_second = 12.5");
    let mut text = Vec::new();
    plan.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for wanted in ["10,000 subscribers and 1 publisher\n", "3 with 3333 to 3334 members", "12.5", "41,675", "10s"] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["phases"][0]["duration"], 10.0);
}
