//! Subnets without pools: who asks for parameters gets them, and nobody gets an address.

use super::wire::Draft;
use super::*;

#[test]
fn informs_are_answered_and_nobody_gets_an_address() {
    let mut bench = Bench::new(vec![Subnet { pools: Vec::new(), ..subnet(0, 0) }]);
    let response = bench.send(&Draft::inform(1, host(9)).option(55, &[3, 6]));
    assert!(matches!(response, Response::Reply(Reply::InformAck { .. })));
    assert_eq!(response.option(6), Some(vec![192, 0, 2, 53]));
    assert_eq!(bench.send(&Draft::discover(1)), Response::Silence(Silence::NoPool));
    assert_eq!(bench.send(&Draft::reboot(1, host(9))), Response::Silence(Silence::UnknownClient));
    bench.restart(true);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.lease(1), host(10));
    bench.reload(vec![Subnet {
        pools: Vec::new(),
        reservations: vec![reserved(2, host(30))],
        ..subnet(0, 0)
    }]);
    assert_eq!(
        (bench.lease(2), bench.send(&Draft::discover(1))),
        (host(30), Response::Silence(Silence::NoPool))
    );
}
