//! The agreed store on a real etcd (`etcd-server`), which each test starts for itself.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dhcp_ebpf::lease::BootSecs;
use tempfile::TempDir;

use super::{Agreed, Block, Instance, Link, Need, News, Pools, Settings, open};
use crate::clock::BootNanos;
use crate::store::{BootId, Change, HwAddr, Record, Standing, Store};

const PATIENCE: Duration = Duration::from_secs(60);

/// A member, gone with its directory.
struct Etcd {
    process: Child,
    url: String,
    _dir: TempDir,
}

impl Etcd {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [client, peer] = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let (url, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(dir.path()).args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        let process =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcd, of etcd-server");
        Self { process, url, _dir: dir }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pools() -> Pools {
    Block::between(address(0), address(1023))
        .map(|(block, addresses)| (block, Need { addresses, reserved: false }))
        .collect()
}

fn address(i: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + i)
}

fn now() -> BootSecs {
    BootNanos::now().floor()
}

fn leased(i: u32, client: u8, secs: u32) -> Record {
    let until = BootSecs(now().0 + secs);
    Record {
        address: address(i),
        standing: Standing::Leased,
        recurrences: 0,
        client_id: None,
        chaddr: HwAddr::ethernet([2, 0, 0, 0, 0, client]),
        interface: "eth0".to_owned(),
        vlan: (0, 0),
        giaddr: Ipv4Addr::UNSPECIFIED,
        server: Ipv4Addr::new(10, 255, 255, 254),
        host_name: Some(format!("host-{i}")),
        lease_time: 3_600,
        expiry: until,
        committed_until: until,
        kernel_renewals: 0,
        last_heard: BootSecs(100),
        agent_info: None,
        adopted: false,
        shortened: false,
        classes: Vec::new(),
    }
}

/// A node whose daemon dies when this is dropped, without a word.
struct Daemon {
    store: Agreed,
    link: Link,
    dead: Option<tokio::sync::oneshot::Sender<()>>,
    why: std::sync::mpsc::Receiver<String>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.dead.take());
    }
}

fn node(etcd: &Etcd, name: &str, instance: u128, boot: u128) -> anyhow::Result<Daemon> {
    let settings = Settings {
        endpoints: vec![etcd.url.clone()],
        prefix: "/xdhcpd/test".into(),
        node: name.into(),
        instance: Instance(instance),
        boot: BootId(boot),
        pools: vec![pools()],
    };
    let (dead, dies) = tokio::sync::oneshot::channel::<()>();
    let (said, why) = std::sync::mpsc::channel();
    let (store, link) = open(settings, |work| {
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    ended = work.run() => drop(said.send(format!("{ended:?}"))),
                    _ = dies => {}
                }
            });
        });
        Ok(())
    })?;
    Ok(Daemon { store, link, dead: Some(dead), why })
}

/// A node, as soon as etcd is there.
fn begun(etcd: &Etcd, name: &str, instance: u128) -> Daemon {
    let since = Instant::now();
    loop {
        match node(etcd, name, instance, instance) {
            Ok(daemon) => return daemon,
            Err(error) if since.elapsed() > PATIENCE => panic!("{error:#}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn news(link: &mut Link) -> News {
    let since = Instant::now();
    loop {
        match link.news.try_recv() {
            Ok(news) => return news,
            Err(error) if since.elapsed() > PATIENCE => panic!("no news: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn what_was_committed_is_there_when_the_daemon_comes_back() {
    let etcd = Etcd::start();
    let mut first = begun(&etcd, "a", 1);
    assert_eq!(first.store.load().unwrap(), []);
    assert_eq!(first.link.owned, [Block::of(address(0))].into());
    // More than goes into one transaction.
    let records: Vec<Record> = (0..200).map(|i| leased(i, (i % 200) as u8, 600)).collect();
    let changes: Vec<Change> = records.iter().cloned().map(Change::Put).collect();
    first.store.commit(now(), &changes).unwrap();
    first.store.commit(now(), &[Change::Delete(address(7))]).unwrap();
    first.store.commit(now(), &[]).unwrap();
    assert_eq!(first.store.record(address(8)).unwrap().as_ref(), Some(&records[8]));
    assert_eq!(first.store.record(address(7)).unwrap(), None);
    let (id, number) = (first.store.id(), first.store.last_commit());
    assert_eq!(number, 3);
    drop(first);
    // Its key has not run out, and it is the same machine.
    let mut again = begun(&etcd, "a", 1);
    let mut loaded = again.store.load().unwrap();
    loaded.sort_by_key(|record| record.address);
    assert_eq!(loaded, records.into_iter().filter(|record| record.address != address(7)).collect::<Vec<_>>());
    assert_eq!((again.store.id(), again.store.last_commit()), (id, number));
    again.store.commit(now(), &[Change::Put(leased(7, 7, 600))]).unwrap();
    assert_eq!(again.store.last_commit(), number + 1);
}

#[test]
fn a_machine_that_was_started_anew_promises_no_more_than_it_has_committed_anew() {
    let etcd = Etcd::start();
    let mut first = begun(&etcd, "a", 1);
    first.store.commit(now(), &[Change::Put(leased(1, 1, 600))]).unwrap();
    drop(first);
    let mut again = node(&etcd, "a", 1, 99).unwrap();
    let [record] = &again.store.load().unwrap()[..] else { panic!("one record") };
    let left = record.committed_until.0 - now().0;
    assert!((595..=600).contains(&left), "{left}");
    assert_eq!(again.store.last_commit(), 2, "it was committed with the new boot's clock");
}

#[test]
fn another_node_takes_over_and_whoever_wakes_late_commits_nothing() {
    let etcd = Etcd::start();
    let mut first = begun(&etcd, "a", 1);
    first.store.commit(now(), &[Change::Put(leased(1, 1, 600)), Change::Put(leased(2, 2, 1))]).unwrap();
    let mut second = begun(&etcd, "b", 2);
    assert_eq!(second.link.owned, [Block::of(address(256))].into(), "the first is taken");
    let refused = second.store.commit(now(), &[Change::Put(leased(1, 9, 600))]).unwrap_err();
    assert!(refused.to_string().contains("in a block of node a"), "{refused}");
    second.store.commit(now(), &[Change::Put(leased(256, 3, 600))]).unwrap();
    // The daemon dies; its kernel goes on.
    drop(first);
    let dead = Instant::now();
    let News::Owned(block, records, promised) = news(&mut second.link) else { panic!("a block") };
    println!("taken over {:?} after the death", dead.elapsed());
    assert_eq!((block, records.len()), (Block::of(address(0)), 2));
    assert!(promised.contains(&address(1)), "{promised:?}");
    // Nobody else gets what the dead one may have promised; its own client goes on.
    let refused = second.store.commit(now(), &[Change::Put(leased(1, 9, 600))]).unwrap_err();
    assert!(refused.to_string().contains("promised to another client"), "{refused}");
    second.store.commit(now(), &[Change::Put(leased(1, 1, 900))]).unwrap();
    second
        .store
        .commit(now(), &[Change::Put(Record { standing: Standing::Free, ..leased(1, 1, 0) })])
        .unwrap();
    let refused = second.store.commit(now(), &[Change::Put(leased(1, 9, 600))]).unwrap_err();
    assert!(refused.to_string().contains("promised to another client"), "{refused}");
    // Until it says that it promises nothing any more.
    let third = begun(&etcd, "a", 1);
    assert!(!third.link.owned.contains(&Block::of(address(0))), "it is another's");
    third.link.acknowledge(BootSecs(0));
    let mut cleared = Vec::new();
    while !cleared.contains(&address(1)) {
        let News::Cleared(addresses) = news(&mut second.link) else { panic!("addresses") };
        cleared.extend(addresses);
    }
    second.store.commit(now(), &[Change::Put(leased(1, 9, 600))]).unwrap();
    // An older daemon of the name is over when a newer one has its key.
    let fourth = begun(&etcd, "a", 1);
    let why = third.why.recv_timeout(PATIENCE).unwrap();
    assert!(why.contains("taken for dead") || why.contains("taken over"), "{why}");
    drop(fourth);
}

#[test]
fn another_machine_of_the_name_is_refused_while_the_first_lives() {
    let etcd = Etcd::start();
    let first = begun(&etcd, "a", 1);
    let refused = node(&etcd, "a", 2, 2).err().expect("it is refused");
    assert!(format!("{refused:#}").contains("another xdhcpd serves as node \"a\""), "{refused:#}");
    drop(first);
    // And takes its place when that is gone.
    let mut second = begun(&etcd, "a", 2);
    second.store.commit(now(), &[Change::Put(leased(1, 1, 60))]).unwrap();
}

/// Not a test of right and wrong: what a commit takes.
#[test]
#[ignore = "prints figures"]
fn what_a_commit_takes() {
    let etcd = Etcd::start();
    let mut daemon = begun(&etcd, "a", 1);
    for together in [1_u32, 48, 480] {
        let (mut all, since) = (Vec::new(), Instant::now());
        while since.elapsed() < Duration::from_secs(10) {
            let changes: Vec<_> = (0..together).map(|i| Change::Put(leased(i, 1, 600))).collect();
            let begun = Instant::now();
            daemon.store.commit(now(), &changes).unwrap();
            all.push(begun.elapsed());
        }
        all.sort();
        let rate = all.len() as f64 * f64::from(together) / since.elapsed().as_secs_f64();
        println!(
            "{together} together: {rate:.0} leases/s, commit p50 {:?}, p99 {:?}",
            all[all.len() / 2],
            all[all.len() * 99 / 100]
        );
    }
}
