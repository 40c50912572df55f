//! An answer as the bytes that go into a BOOTP message: for the kernel's memory and for the daemon's own frames.

use dhcp_ebpf::publish;
use dhcp_ebpf::slot::{AnswerHead, Echo};
use dhcp_ebpf::wire::bootp;

use super::echo::Echoed;
use crate::policy::{self, Answer};

const SNAME: usize = 64;
const FILE: usize = 128;

/// The bytes of an answer, and where in the message they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The head that the kernel keeps in front of them.
    pub head: AnswerHead,
    /// The bytes: padded to the least length of a BOOTP message (RFC 1542 §2.1), and to four.
    pub bytes: Vec<u8>,
}

impl Body {
    /// The body of an answer. `None`: it is longer than the kernel's memory and our frames allow.
    #[must_use]
    pub fn of(answer: &Answer) -> Option<Self> {
        let (mut bytes, at) = match (&answer.sname, &answer.file) {
            (None, None) => (Vec::with_capacity(answer.options.len() + 4), bootp::FIXED),
            (sname, file) => {
                let mut bytes = Vec::with_capacity(SNAME + FILE + 4 + answer.options.len() + 4);
                bytes.extend_from_slice(sname.as_deref().map_or(&[0; SNAME][..], |sname| &sname[..]));
                bytes.extend_from_slice(file.as_deref().map_or(&[0; FILE][..], |file| &file[..]));
                bytes.extend_from_slice(&bootp::COOKIE_RAW.to_ne_bytes());
                (bytes, bootp::SNAME - bootp::AT)
            }
        };
        bytes.extend_from_slice(&answer.options);
        let least = bootp::MINIMUM - at;
        bytes.resize(bytes.len().next_multiple_of(4).max(least), 0);
        let head = publish::head_of(&bytes, at, answer.lease_time, answer.siaddr.into())?;
        Some(Self { head, bytes })
    }

    /// The body as it is shared with the kernel, and the options that it echoes: zeros stand in their place, so that
    /// one body serves all clients with the same terms.
    #[must_use]
    pub fn shared(memo: &policy::Memo) -> Option<(Self, Echo)> {
        let Self { head, mut bytes } = Self::of(&memo.answer)?;
        let at = usize::from(head.at);
        let options_at = bootp::FIXED - at;
        let Echoed { at: echo_at, echo } = Echoed::of(&memo.question.options, &memo.answer);
        let echo_at = options_at + echo_at;
        bytes.get_mut(echo_at..echo_at + echo.len())?.fill(0);
        let siaddr = memo.answer.siaddr.into();
        let head = AnswerHead {
            echo_at: u16::try_from(echo_at).ok()?,
            giaddr: memo.question.giaddr.into(),
            to: memo.to,
            ..publish::head_of(&bytes, at, head.lease_time, siaddr)?
        };
        Some((Self { head, bytes }, echo))
    }
}
