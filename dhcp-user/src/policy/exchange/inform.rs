//! DHCPINFORM (RFC 2131 §4.3.5): parameters for a client that has its address from elsewhere.

use std::sync::Arc;

use super::Exchange;
use crate::message::Request;
use crate::policy::action::{Action, Reply, Silence};
use crate::policy::answer::{self, Type};
use crate::policy::terms::given::terms_without_lease;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    /// It reads and changes no address, and the answer has no lease time.
    pub(super) fn inform(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        if request.ciaddr.is_unspecified() {
            return turn.silence(request, Silence::NoAddress);
        }
        if !self.site.subnets.can_be_a_clients(request.ciaddr) {
            return turn.silence(request, Silence::ImpossibleAddress);
        }
        let segment = self.site.segment(request);
        let own = self.site.subnets.containing(request.ciaddr).filter(|subnet| segment.contains(subnet));
        let Some(subnet) = own else { return turn.silence(request, Silence::NoSubnet) };
        let Some(server) = self.site.subnets.server(subnet, request.link) else {
            return turn.silence(request, Silence::NoServerId);
        };
        let place = self.book.find(request.ciaddr);
        let terms = terms_without_lease(self.site, self.book, subnet, place, server, request);
        match answer::answer(Type::Ack, &terms, request) {
            Some(answer) => turn.out.push(Action::Reply {
                request: Arc::clone(request),
                reply: Reply::InformAck { server, answer },
                granted: None,
            }),
            None => turn.silence(request, Silence::Unanswerable),
        }
    }
}
