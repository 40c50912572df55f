//! Answers that are made of pages.

use super::*;

#[test]
fn leases_come_in_pages_and_all() {
    const COUNT: u32 = 100_000;
    let mut largest = 0;
    let addresses = with_daemon(
        |query| match query {
            Query::Leases { after, most, reply, .. } => {
                largest = largest.max(most);
                reply.give(page(COUNT, after, most));
            }
            other => panic!("{other:?}"),
        },
        |path| {
            let mut addresses = Vec::new();
            let outcome = ask(path, &Request::Leases { filter: LeaseFilter::default() }, |item| {
                addresses.push(serde_json::from_str::<Lease>(item.get())?.address);
                Ok(())
            });
            assert_eq!(outcome.unwrap(), Outcome::Done);
            addresses
        },
    );
    let expected: Vec<Ipv4Addr> = (0x0a00_0001..0x0a00_0001 + COUNT).map(Ipv4Addr::from_bits).collect();
    assert!(addresses == expected, "{} addresses came", addresses.len());
    assert!(largest <= 4096, "the decision loop was asked for {largest} leases at once");
}

/// A page may be short, and even empty, without being the last.
#[test]
fn empty_pages_are_not_the_end() {
    let mut asked_for = 0_u8;
    let (items, outcome) = with_daemon(
        |query| match query {
            Query::Leases { after, reply, .. } => {
                assert_eq!(after, (asked_for > 0).then(|| Ipv4Addr::new(10, 0, 0, asked_for)));
                asked_for += 1;
                let next = (asked_for < 4).then(|| Ipv4Addr::new(10, 0, 0, asked_for));
                let items = if next.is_none() { vec![lease(Ipv4Addr::new(10, 0, 0, 9))] } else { vec![] };
                reply.give(Page { items, next });
            }
            other => panic!("{other:?}"),
        },
        |path| asked(path, &Request::Leases { filter: LeaseFilter::default() }),
    );
    assert_eq!((items.len(), outcome), (1, Outcome::Done));
}

#[test]
fn an_audit_is_made_of_pages_and_told_as_one() {
    let [first, last] = [1, 2].map(|last| Ipv4Addr::new(10, 0, 0, last));
    let finding = |address| Finding { address, what: "w".to_owned() };
    let mut largest = 0;
    let answered = with_daemon(
        |query| match query {
            Query::Audit { after, most, reply } => {
                largest = largest.max(most);
                let next = after.is_none().then_some(first);
                reply.give(Page { items: vec![finding(if after.is_none() { first } else { last })], next });
            }
            other => panic!("{other:?}"),
        },
        |path| asked(path, &Request::Audit),
    );
    let audit = Audit { consistent: false, findings: vec![finding(first), finding(last)] };
    assert_eq!(answered, (vec![json!(audit)], Outcome::Done));
    assert!(largest <= 4096, "the decision loop was asked for {largest} addresses at once");
}
