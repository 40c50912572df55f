//! Configurations of several files, and reservations in files of their own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{Config, LoadError, ReservationKey};

struct Files(tempfile::TempDir);

impl Files {
    /// These files; the first is the configuration.
    fn of(files: &[(&str, &str)]) -> (Self, PathBuf) {
        let this = Self(tempfile::tempdir().expect("a directory"));
        for (name, text) in files {
            let path = this.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(&path, text).expect("a file");
        }
        let first = this.0.path().join(files[0].0);
        (this, first)
    }
}

fn good(files: &[(&str, &str)]) -> Config {
    let (_files, path) = Files::of(files);
    Config::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// The errors, with the names of files alone.
fn wrong(files: &[(&str, &str)]) -> Vec<String> {
    let (dir, path) = Files::of(files);
    let Err(LoadError::Invalid(errors)) = Config::load(&path) else { panic!("nothing is wrong") };
    let within = format!("{}/", dir.0.path().display());
    errors.iter().map(|error| error.to_string().replace(&within, "")).collect()
}

fn subnet(number: u8) -> String {
    format!(
        "[[subnet]]\nprefix = \"10.0.{number}.0/24\"\npools = [\"10.0.{number}.10 - 10.0.{number}.20\"]\n"
    )
}

const MAIN: &str = "include = [\"subnets.d/*.toml\"]\n[server]\noptions = { domain-name = \"a.example\" }\n[[interface]]\nname = \"eth0\"\n";

#[test]
fn what_is_included_stands_behind_in_the_order_of_the_names() {
    let classes = "[[class]]\nname = \"c\"\nmatch = { vendor-class = \"x*\" }\n";
    let allowed = format!(
        "{}[subnet.options]\nrouters = [\"10.0.1.1\"]",
        subnet(1).replace("\"]", "\"]\ngrace = \"1m\"")
    );
    let nested = format!("include = [\n  \"deeper/a.toml\",\n]\n{}", subnet(2));
    let config = good(&[
        ("x.toml", MAIN),
        ("subnets.d/b.toml", &nested),
        ("subnets.d/a.toml", &allowed),
        ("subnets.d/c.toml", classes),
        ("subnets.d/not.text", "nonsense"),
        ("subnets.d/deeper/a.toml", &subnet(3)),
    ]);
    let prefixes: Vec<_> = config.subnets.iter().map(|subnet| subnet.prefix.to_string()).collect();
    assert_eq!(prefixes, ["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"]);
    assert_eq!(config.classes.len(), 1);
    assert!(config.subnets.iter().all(|subnet| subnet.options.get(15) == Some(&b"a.example"[..])));
    assert!(config.subnets[0].options.get(3).is_some() && config.subnets[1].options.get(3).is_none());
    assert_eq!(config.files.len(), 4);
}

#[test]
fn an_error_names_its_own_file_and_line_and_the_other_of_two_that_collide() {
    let twice = format!("\n{}[[interface]]\nname = \"eth0\"\n", subnet(1));
    let class = "[[class]]\nname = \"c\"\nmatch = { vendor-class = \"x*\" }\n";
    let found = wrong(&[
        ("x.toml", MAIN),
        ("subnets.d/a.toml", &format!("{}lease-tim = \"1h\"\n{class}", subnet(1))),
        ("subnets.d/b.toml", &format!("{twice}{class}")),
    ]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("subnets.d/a.toml:4:1: unknown key `lease-tim`"), "{found:?}");
    assert!(
        found[1].starts_with(
            "subnets.d/b.toml:3:10: 10.0.1.0/24 overlaps the subnet on line 2 of subnets.d/a.toml"
        ),
        "{found:?}"
    );
    assert!(
        found[2].starts_with(
            "subnets.d/b.toml:6:8: interface \"eth0\" is configured twice, first on line 5 of x.toml"
        ),
        "{found:?}"
    );
    assert!(
        found[3].starts_with(
            "subnets.d/b.toml:8:8: there is a class \"c\" already, on line 6 of subnets.d/a.toml"
        ),
        "{found:?}"
    );
}

#[test]
fn an_included_file_has_no_keys_that_another_table_would_get() {
    let found = wrong(&[
        ("x.toml", &format!("{MAIN}{}", subnet(9))),
        ("subnets.d/a.toml", "grace = \"1m\"\n[server]\nhorizon = 3.0\n"),
        ("subnets.d/b.toml", "[subnet.options]\nrouters = [\"10.0.9.1\"]\n"),
        ("subnets.d/c.toml", "[[subnet\n"),
    ]);
    let starts = [
        "subnets.d/a.toml:1:1: `grace` can't",
        "subnets.d/a.toml:2:2: `server` can't",
        "subnets.d/b.toml:1:2: `subnet` can't",
        "subnets.d/c.toml:1:",
    ];
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
    assert!(found.len() >= starts.len(), "{found:?}");
}

#[test]
fn files_include_each_other_no_deeper_than_can_be_followed() {
    let chain = |length: usize| -> Vec<(String, String)> {
        let main = MAIN.replace("subnets.d/*.toml", "1.toml");
        let one = |n: usize| (format!("{n}.toml"), format!("include = [\"{}.toml\"]\n", n + 1));
        let last = [(format!("{length}.toml"), String::new())];
        std::iter::once(("x.toml".to_owned(), format!("{main}{}", subnet(1))))
            .chain((1..length).map(one))
            .chain(last)
            .collect()
    };
    fn all(files: &[(String, String)]) -> Vec<(&str, &str)> {
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }
    assert_eq!(good(&all(&chain(16))).subnets.len(), 1);
    let found = wrong(&all(&chain(3000)));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("17.toml:1:1: files include each other more than 16 deep"), "{found:?}");
}

#[test]
fn files_don_t_include_each_other_in_a_circle_and_none_is_missed() {
    let main = MAIN.replace("subnets.d/*.toml", "a.toml\", \"gone.toml");
    let found = wrong(&[
        ("x.toml", &format!("{main}{}", subnet(1))),
        ("a.toml", &format!("include = [\"x.toml\"]\n{}", subnet(2))),
    ]);
    assert!(found[0].contains("x.toml:1:1: this file is included twice"), "{found:?}");
    assert!(found[1].starts_with("gone.toml:1:1: can't read it"), "{found:?}");
    let found: Vec<_> = Config::parse(&format!("{MAIN}{}", subnet(1)), "x")
        .map(|config| config.subnets.len())
        .into_iter()
        .collect();
    assert_eq!(found, [1], "a text alone includes nothing");
}

fn with_file(name: &str) -> String {
    format!(
        "[[interface]]\nname = \"e\"\n{}reservations-file = \"{name}\"\n[[subnet.reservation]]\nhw-address = \"02:00:00:00:00:01\"\naddress = \"10.0.1.101\"\n",
        subnet(1)
    )
}

#[test]
fn reservations_come_from_csv() {
    let csv = "address, hw-address, client-id, circuit-id, host-name\n10.0.1.102,02:00:00:00:00:02,,,two\n\n10.0.1.103,,01:02,,\n10.0.1.104,,,\"port, 4\",\n";
    let config = good(&[("x.toml", &with_file("r.csv")), ("r.csv", csv)]);
    let reservations = &config.subnets[0].reservations;
    assert_eq!(reservations.len(), 4);
    assert_eq!(reservations[1].host_name.as_deref(), Some("two"));
    assert_eq!(reservations[2].key, ReservationKey::ClientId(vec![1, 2]));
    assert_eq!(reservations[3].key, ReservationKey::Circuit { id: b"port, 4".to_vec(), remote_id: None });
    assert!(config.files[0].ends_with("r.csv"));
}

#[test]
fn reservations_come_from_json_with_all_that_a_table_has() {
    let json = "{\"hw-address\":\"02:00:00:00:00:02\",\"address\":\"10.0.1.102\",\"lease-time\":\"2h\",\"options\":{\"routers\":[\"10.0.1.1\"],\"interface-mtu\":1400}}\n\n{\"circuit-id\":\"'a'\",\"remote-id\":\"'b'\",\"address\":\"10.0.1.103\",\"boot-file-name\":\"x\"}\n";
    let config = good(&[("x.toml", &with_file("r.jsonl")), ("r.jsonl", json)]);
    let [_, second, third] = &config.subnets[0].reservations[..] else { panic!("{config:?}") };
    assert_eq!(second.overrides.times.map(|times| times.lease), Some(7200));
    assert_eq!(second.overrides.options.get(26), Some(&1400_u16.to_be_bytes()[..]));
    assert_eq!(third.overrides.boot.file.as_deref(), Some("x"));
}

#[test]
fn what_is_wrong_in_a_file_of_reservations_is_told_by_its_line() {
    let csv = "address,hw-address\n10.0.1.101,02:00:00:00:00:02\n10.0.1.102,02:00:00:00:00:01\n10.0.1.103,02:00:00:00:00:03\n10.0.1.103,02:00:00:00:00:04\n10.0.2.1,02:00:00:00:00:05\nx,02:00:00:00:00:06\n10.0.1.106,\n10.0.1.107\n";
    let found = wrong(&[("x.toml", &with_file("r.csv")), ("r.csv", csv)]);
    let starts = [
        "r.csv:2:1: 10.0.1.101 is reserved on line 9 of x.toml",
        "r.csv:3:1: hw-address 02:00:00:00:00:01 has a reservation on line 8 of x.toml",
        "r.csv:5:1: 10.0.1.103 is reserved on line 4 already",
        "r.csv:6:1: 10.0.2.1 is not an address that a host in 10.0.1.0/24",
        "r.csv:7:1: \"x\" is not an address",
        "r.csv:8:1: it lacks its client",
        "r.csv:9:1: this line can't be read",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found} is not {start}");
    }
    for (name, text, what) in [
        (
            "r.jsonl",
            "{\"hw-address\":\"02:00:00:00:00:02\",\"address\":\"10.0.1.102\",\"colour\":\"red\"}",
            "r.jsonl:1:1: unknown key `colour`",
        ),
        ("r.jsonl", "\n[]", "r.jsonl:2:1: no object of JSON"),
        ("r.jsonl", "{\"hw-address\":2}", "r.jsonl:1:1: `hw-address` must be a string"),
        ("r.csv", "colour\n", "r.csv:1:1: no column is named \"colour\""),
        ("r.txt", "", "x.toml:6:21: the file's name must end"),
    ] {
        let found = wrong(&[("x.toml", &with_file(name)), (name, text)]);
        assert!(found[0].starts_with(what), "{found:?}");
    }
    let many = format!("address,hw-address\n{}", "x,y\n".repeat(1000));
    let found = wrong(&[("x.toml", &with_file("r.csv")), ("r.csv", &many)]);
    assert_eq!(found.len(), 100);
    assert!(Path::new("r.csv").is_relative() && found[99].contains("not looked at"), "{}", found[99]);
}

/// A client may have something of its own, and an address of the pools.
#[test]
fn a_reservation_may_have_no_address() {
    let class = "[[class]]\nname = \"phones\"\nmatch = { vendor-class = \"phone\" }\n";
    let csv = "hw-address,host-name,class\n02:00:00:00:00:02,two,\n02:00:00:00:00:03,,phones\n";
    let with = |text: &str| format!("{}{class}", text);
    let config = good(&[("x.toml", &with(&with_file("r.csv"))), ("r.csv", csv)]);
    let [_, named, classed] = &config.subnets[0].reservations[..] else { panic!("{config:?}") };
    assert_eq!((named.address, named.host_name.as_deref()), (None, Some("two")));
    assert!(named.classes.is_empty() && classed.classes.last_first().eq([0]));
    let json = "{\"hw-address\":\"02:00:00:00:00:02\",\"class\":[\"phones\"]}\n{\"client-id\":\"01:02\",\"lease-time\":\"1d\"}\n";
    let config = good(&[("x.toml", &with(&with_file("r.jsonl"))), ("r.jsonl", json)]);
    let [_, classed, timed] = &config.subnets[0].reservations[..] else { panic!("{config:?}") };
    assert!(classed.classes.last_first().eq([0]) && timed.overrides.times.is_some());

    for (name, text, what) in [
        ("r.csv", "hw-address\n02:00:00:00:00:02\n", "r.csv:2:1: this reservation gives its client nothing"),
        (
            "r.csv",
            "hw-address,class\n02:00:00:00:00:02,phone\n",
            "r.csv:2:1: no [[class]] is named \"phone\": did you mean \"phones\"?",
        ),
        ("r.jsonl", "{\"hw-address\":\"02:00:00:00:00:02\",\"class\":2}", "r.jsonl:1:1: `class` must be"),
    ] {
        let found = wrong(&[("x.toml", &with(&with_file(name))), (name, text)]);
        assert!(found[0].starts_with(what), "{found:?}");
    }
    let table = with(&with_file("r.csv").replace("address = \"10.0.1.101\"\n", ""));
    let found = wrong(&[("x.toml", &table), ("r.csv", csv)]);
    assert!(found[0].starts_with("x.toml:8:14: this reservation gives its client nothing"), "{found:?}");
    let named = table.replace("[[class]]", "class = [\"phones\"]\n[[class]]");
    assert_eq!(good(&[("x.toml", &named), ("r.csv", csv)]).subnets[0].reservations.len(), 3);
}

#[test]
fn hardware_addresses_come_from_a_file() {
    let with = |name: &str| {
        format!(
            "[[interface]]\nname = \"e\"\n{}[[class]]\nname = \"c\"\nmatch = {{ hw-address = \"02:00:00:00:00:09\", hw-address-file = \"{name}\" }}\ndrop = true\n",
            subnet(1)
        )
    };
    let list = "# banned\n02:00:00:00:00:02 # since May\n\n 02-00-00-00-00-01\n020000000002\n02:00:5e:*\n";
    let config = good(&[("x.toml", &with("l.txt")), ("l.txt", list)]);
    let matches = &config.classes[0].matches;
    assert_eq!(matches.hw_listed, Some(vec![[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]]));
    assert!(config.files[0].ends_with("l.txt"));
    for (octets, fits) in [
        ([2, 0, 0, 0, 0, 1], true),
        ([2, 0, 0, 0, 0, 9], true),
        ([2, 0, 0x5e, 1, 2, 3], true),
        ([2, 0, 0, 0, 0, 3], false),
    ] {
        assert_eq!(matches.fits_hardware(&octets), fits, "{octets:?}");
    }
    let none = good(&[
        ("x.toml", &with("l.txt").replace("hw-address = \"02:00:00:00:00:09\", ", "")),
        ("l.txt", ""),
    ]);
    assert!(!none.classes[0].matches.fits_hardware(&[2, 0, 0, 0, 0, 1]), "a list of nobody fits nobody");

    let found = wrong(&[
        ("x.toml", &with("l.txt")),
        ("l.txt", "02:00:00:00:00:01\n02:00\n*\nx\n02:00:00:00:00:01:*\n"),
    ]);
    for (found, line) in found.iter().zip(2..) {
        assert!(
            found.starts_with(&format!("l.txt:{line}:1: \"")) && found.contains("is not an Ethernet address"),
            "{found}"
        );
    }
    assert_eq!(found.len(), 4);
    let found = wrong(&[("x.toml", &with("none.txt"))]);
    assert!(found[0].contains("can't read") && found[0].contains("none.txt"), "{found:?}");
}

/// What the daemon keeps stands beside what is configured, and is checked with it.
#[test]
fn reservations_that_the_daemon_keeps_are_read_beside_the_configuration() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.toml");
    let text = format!("[server]\nstate-dir = \"{}\"\n{}", dir.path().display(), with_file("r.csv"));
    std::fs::write(&path, text).expect("written");
    std::fs::write(dir.path().join("r.csv"), "hw-address,address\n02:00:00:00:00:02,10.0.1.102\n")
        .expect("written");
    let count = |config: &Config| config.subnets[0].reservations.len();
    assert_eq!(count(&Config::load(&path).expect("good")), 2, "there need be no such file");

    let line = |mac: &str, address: &str| {
        format!("{{\"subnet\":\"10.0.1.0/24\",\"hw-address\":\"{mac}\",\"address\":\"{address}\"}}\n")
    };
    let kept = crate::config::kept_reservations::file(dir.path());
    std::fs::write(&kept, line("02:00:00:00:00:03", "10.0.1.103")).expect("written");
    let config = Config::load(&path).expect("good");
    assert_eq!((count(&config), config.subnets[0].reservations[2].address), (3, "10.0.1.103".parse().ok()));
    assert_eq!(count(&Config::load_with(&path, "").expect("good")), 2, "as if nothing were kept");

    for (line, why) in [
        (
            line("02:00:00:00:00:02", "10.0.1.104"),
            "reservations.jsonl:1:1: hw-address 02:00:00:00:00:02 has a reservation on line 2 of",
        ),
        (line("02:00:00:00:00:04", "10.0.1.101"), "reservations.jsonl:1:1: 10.0.1.101 is reserved on line"),
        (line("02:00:00:00:00:04", "10.0.2.1"), "reservations.jsonl:1:1: 10.0.2.1 is not an address"),
        (
            "{\"hw-address\":\"02:00:00:00:00:04\"}\n".to_owned(),
            "reservations.jsonl:1:1: `subnet` must be a prefix",
        ),
        ("\n[]\n".to_owned(), "reservations.jsonl:2:1: no object of JSON"),
    ] {
        let error = Config::load_with(&path, &line).expect_err(why).to_string();
        assert!(error.contains(why), "{error} has no {why}");
    }
    let elsewhere = line("02:00:00:00:00:04", "10.7.0.4").replace("10.0.1.0/24", "10.7.0.0/24");
    let config = Config::load_with(&path, &elsewhere).expect("its subnet may be gone");
    assert!(config.warnings.iter().any(|warning| warning.message.contains("no [[subnet]] 10.7.0.0/24")));
}
