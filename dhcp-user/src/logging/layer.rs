//! From events to the queue, where the library has no form of its own for them.

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::format::Form;
use super::queue::Queue;

/// Puts lines into the queue, in this form.
pub(super) struct Written {
    pub(super) queue: &'static Queue,
    pub(super) form: Form,
}

impl<S: Subscriber> Layer<S> for Written {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.queue.put(self.form.event(event));
    }
}
