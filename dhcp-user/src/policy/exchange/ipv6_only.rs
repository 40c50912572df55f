//! Clients that do without an IPv4 address where the network prefers it (option 108, RFC 8925).

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Exchange;
use crate::message::Request;
use crate::message::options::code;
use crate::policy::action::{Action, Reply};
use crate::policy::answer::{self, Type};
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::site::terms::Terms;
use crate::policy::terms::given::{lease_time, terms, terms_without_lease};
use crate::policy::terms::membership::kept_agent;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    /// Offers the client no address, and says for how long to ask for none, if it asks for option 108 and that is
    /// configured for it: such an OFFER has 0.0.0.0, and holds nothing (RFC 8925 §3.3), nor what the client was offered
    /// before it asked so. False: it is not for this client.
    pub(super) fn offer_ipv6_only(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        segment: &[SubnetId],
    ) -> bool {
        let list = request.options.parameters.as_ref();
        if !list.is_some_and(|list| list.contains(&code::IPV6_ONLY_PREFERRED)) {
            return false;
        }
        let Some(answer) = self.ipv6_only(turn, request, segment) else { return false };
        self.leave_offers(turn, request, segment);
        turn.out.push(Action::Reply { request: Arc::clone(request), reply: answer, granted: None });
        true
    }

    /// The OFFER, on the terms of the address that the client would have been offered.
    fn ipv6_only(&mut self, turn: &mut Turn<'_>, request: &Request, segment: &[SubnetId]) -> Option<Reply> {
        let own = self.own(turn, request, segment);
        let place = own.or_else(|| {
            segment.iter().find_map(|id| {
                let classes = self.site.classes_in(*id, request, None);
                if self.site.classes.drop(classes) { None } else { self.next_free(turn, *id, classes) }
            })
        });
        let subnet = place.map_or(*segment.first()?, |place| self.book.subnet(place));
        let server = self.site.subnets.server(subnet, request.link)?;
        let kept_agent = place.and_then(|place| kept_agent(self.site, self.book, place, request));
        let terms = match place {
            Some(place) => terms(
                self.site,
                self.book,
                place,
                server,
                lease_time(self.site, self.book, place, request).secs,
                request,
                kept_agent.as_ref(),
            ),
            None => {
                let terms = terms_without_lease(self.site, self.book, subnet, None, server, request);
                Terms { lease_time: Some(terms.given.times().lease), ..terms }
            }
        };
        terms.given.configured(code::IPV6_ONLY_PREFERRED)?;
        let answer = answer::answer(Type::Offer, &terms, request)?;
        Some(Reply::Offer { yiaddr: Ipv4Addr::UNSPECIFIED, server, answer })
    }
}
