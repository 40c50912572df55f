//! What a rehearsed reload tells of leases.

use super::*;
use crate::config::difference::{What, differences};

const NOW: BootSecs = BootSecs(10_000);

fn config(text: &str) -> Config {
    Config::parse(&format!("[[interface]]\nname = \"eth9\"\n{text}"), "x").unwrap()
}

fn subnet(pools: &str, more: &str) -> Config {
    config(&format!("[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [{pools}]\n{more}"))
}

fn leases(last: &[u8]) -> Vec<Portable> {
    let lease = |last: &u8| {
        let text = format!(
            r#"{{"address":"10.0.0.{last}","state":"leased","hw-address":"02:00:00:00:00:{last:02x}","interface":"eth9",
               "server":"10.0.0.1","lease-time":3600,"expires-in":3000,"committed-for":6000}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    last.iter().map(lease).collect()
}

fn last(rehearsed: &Rehearsed, fate: &Fate) -> Vec<u8> {
    rehearsed.fates.get(fate).into_iter().flatten().map(|address| address.octets()[3]).collect()
}

fn whole(old: &Config, new: &Config, last: &[u8]) -> Rehearsed {
    let rehearsed = rehearse(old, new, &leases(last), &[], NOW);
    assert_eq!(rehearsed.strange, BTreeMap::new());
    rehearsed
}

const BOTH: &str = "\"10.0.0.10 - 10.0.0.19\", \"10.0.0.50 - 10.0.0.59\"";

#[test]
fn leases_of_a_pool_that_goes_end_and_others_stay() {
    let (old, new) = (subnet(BOTH, ""), subnet("\"10.0.0.10 - 10.0.0.19\"", ""));
    let rehearsed = whole(&old, &new, &[10, 11, 50, 59]);
    assert_eq!((rehearsed.kept, rehearsed.ended, rehearsed.asked_anew), (2, 2, 0));
    assert_eq!((last(&rehearsed, &Fate::Ends), last(&rehearsed, &Fate::Same)), (vec![50, 59], vec![10, 11]));
    assert_eq!(
        lost(&old, &new).iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.50 - 10.0.0.59"]
    );
    let pools: Vec<_> =
        differences(&old, &new).into_iter().map(|one| (one.table, one.name, one.what)).collect();
    assert_eq!(pools, [("pool", "10.0.0.50 - 10.0.0.59".to_owned(), What::Removed)]);
}

#[test]
fn another_time_and_other_options_come_with_the_next_renewal() {
    let old = subnet(BOTH, "lease-time = \"1h\"\noptions = { routers = [\"10.0.0.1\"] }");
    let new = subnet(
        "\"10.0.0.10 - 10.0.0.19\", { range = \"10.0.0.50 - 10.0.0.59\", lease-time = \"2h\" }",
        "lease-time = \"1h\"\noptions = { routers = [\"10.0.0.2\"] }\nboot-file-name = \"a.0\"",
    );
    let rehearsed = whole(&old, &new, &[10, 50]);
    let fates: Vec<(&Fate, u8)> =
        rehearsed.fates.iter().map(|(fate, all)| (fate, all[0].octets()[3])).collect();
    let option = |code, from: &[u8], to: &[u8]| Changed {
        what: Item::Option(code),
        from: Some(from.to_vec()),
        to: Some(to.to_vec()),
    };
    let file = Changed { what: Item::Field("boot-file-name"), from: None, to: Some(b"a.0".to_vec()) };
    let routers = option(3, &[10, 0, 0, 1], &[10, 0, 0, 2]);
    let time = |code, from: u32, to: u32| option(code, &from.to_be_bytes(), &to.to_be_bytes());
    let longer = Fate::Changed(vec![
        routers.clone(),
        time(51, 3600, 7200),
        time(58, 1800, 3600),
        time(59, 3150, 6300),
        file.clone(),
    ]);
    let plain = Fate::Changed(vec![routers, file]);
    assert_eq!(fates, [(&longer, 50), (&plain, 10)]);
    assert_eq!((rehearsed.kept, rehearsed.asked_anew), (2, 2));
}

#[test]
fn a_client_without_a_reservation_leaves_what_is_reserved_for_another() {
    let own = |last: u8, address: u8| {
        format!(
            "[[subnet.reservation]]\nhw-address = \"02:00:00:00:00:{last:02x}\"\naddress = \"10.0.0.{address}\"\n"
        )
    };
    let (old, new) = (subnet(BOTH, ""), subnet(BOTH, &format!("{}{}", own(0x99, 10), own(11, 51))));
    let rehearsed = whole(&old, &new, &[10, 11, 12]);
    assert_eq!(last(&rehearsed, &Fate::Ends), [10]);
    // Its own address waits for it.
    assert_eq!(last(&rehearsed, &Fate::Refused), [11]);
    assert_eq!(last(&rehearsed, &Fate::Same), [12]);
    let told: Vec<_> = contested(&old, &new);
    assert_eq!(told[0], (Ipv4Addr::new(10, 0, 0, 10), "hw-address 02:00:00:00:00:99".to_owned()));
}

#[test]
fn clients_that_are_dropped_or_denied_hear_so_at_their_next_renewal() {
    let class = |more: &str| {
        format!("[[class]]\nname = \"few\"\nmatch = {{ hw-address = \"02:00:00:00:00:0b\" }}\n{more}\n")
    };
    let rest = "[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [";
    let open = format!("{rest}\"10.0.0.10 - 10.0.0.19\"]");
    let old = config(&format!("{}{open}", class("")));
    let dropped = config(&format!("{}{open}", class("drop = true")));
    let rehearsed = whole(&old, &dropped, &[10, 11]);
    assert_eq!(last(&rehearsed, &Fate::Unanswered("class-drop")), [11]);
    assert_eq!((last(&rehearsed, &Fate::Same), rehearsed.ended), (vec![10], 0));
    let closed = format!("{rest}{{ range = \"10.0.0.10 - 10.0.0.19\", deny = \"few\" }}]");
    let rehearsed = whole(&old, &config(&format!("{}{closed}", class(""))), &[10, 11]);
    assert_eq!(last(&rehearsed, &Fate::Refused), [11]);
}

#[test]
fn nothing_changes_between_a_configuration_and_itself() {
    let old = subnet(BOTH, "");
    let rehearsed = whole(&old, &old, &[10, 55]);
    assert_eq!((last(&rehearsed, &Fate::Same), rehearsed.asked_anew), (vec![10, 55], 0));
    assert_eq!((differences(&old, &old), lost(&old, &old)), (Vec::new(), Vec::new()));
}
