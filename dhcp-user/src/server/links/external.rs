//! Interfaces where another's program is attached, and calls ours: whether it does.

use crate::control::Xdp;
use crate::datapath::program::occupant;
use crate::server::Server;
use crate::server::links::ServedInterface;

impl Server {
    /// Why nobody calls our program on an interface that is served so, and what to do about it; none if somebody has.
    pub(super) fn not_called(&self, served: &ServedInterface) -> Option<String> {
        let kernel = self.kernel.as_ref()?;
        if kernel.called(served.facts.ifindex) > 0 {
            return None;
        }
        let (name, pin) = (&served.facts.name, kernel.callable());
        let there = served.found.flatten().map_or_else(
            || format!("no XDP program is attached to {name}"),
            |there| format!("{} on {name} has not called ours yet", occupant::named(there)),
        );
        Some(format!(
            "{there}, the daemon answers alone: have one attached with {} in its program array, which it calls",
            pin.display()
        ))
    }

    /// Who calls our program on an interface, and for how many frames so far.
    pub(in crate::server) fn caller(&self, served: &ServedInterface) -> Option<String> {
        let kernel = self.kernel.as_ref().filter(|_| served.xdp == Xdp::External)?;
        let called = Some(kernel.called(served.facts.ifindex)).filter(|called| *called > 0)?;
        let by = served
            .found
            .flatten()
            .map_or_else(|| "an XDP program that is attached no longer".to_owned(), occupant::named);
        Some(format!("{by} has called it for {called} frames"))
    }
}
