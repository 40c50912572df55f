//! Lines on their way to a file that may not take them: bounded, in order, and counted if they are left out.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::format::{Form, Weight};
use crate::again::after_panics;

/// The name of the thread that writes.
pub(super) const THREAD: &str = "log";
/// How many lines may wait.
const WAITING: usize = 4096;
/// A longer line is cut, in octets: so what waits is bounded, too.
const LONGEST: usize = 8192;
/// Lines at hand are written together, up to about so many octets.
const TOGETHER: usize = 32 * 1024;
/// How long to let a file be that takes nothing at the moment, and would not have us wait.
const PAUSE: Duration = Duration::from_millis(10);

/// Where lines are put.
#[derive(Debug)]
pub(super) struct Queue {
    to: SyncSender<Item>,
    lost: Arc<Lost>,
}

/// Lines that were left out.
#[derive(Debug, Default)]
struct Lost {
    all: AtomicU64,
    /// Lines left out that the log itself does not report yet.
    untold: AtomicU64,
}

impl Lost {
    fn one(&self, untold_before: u64) {
        self.all.fetch_add(1, Relaxed);
        self.untold.fetch_add(untold_before + 1, Relaxed);
    }
}

#[derive(Debug)]
enum Item {
    Line {
        /// How many were left out just before this one.
        left_out: u64,
        text: Vec<u8>,
    },
    /// Everything before is to be written, or given up.
    Flush(SyncSender<()>),
}

impl Queue {
    /// A queue whose lines, all of this form, are written to `to` by a thread of its own.
    pub(super) fn before(to: impl Write + Send + 'static, form: Form) -> io::Result<Self> {
        let (queue, lines) = sync_channel(WAITING);
        let lost = Arc::<Lost>::default();
        let mut writer = Writer { lines, to, form, lost: Arc::clone(&lost), torn: false };
        thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            // Nothing can be said of it here; other threads do.
            let _ = crate::privileges::give_up();
            let mut page = Page::default();
            after_panics(|| writer.run(&mut page));
        })?;
        Ok(Self { to: queue, lost })
    }

    /// Puts a line, with its end, into the queue. Where there is no room it is left out.
    pub(super) fn put(&self, line: impl Into<Vec<u8>>) {
        let mut text = line.into();
        // An entry of the journal is no longer than that by itself.
        if text.len() > LONGEST && text.ends_with(b"\n") && !text.starts_with(b"PRIORITY=") {
            text.truncate(LONGEST);
            text.extend_from_slice(" (cut)\n".as_bytes());
        }
        let left_out = self.lost.untold.swap(0, Relaxed);
        match self.to.try_send(Item::Line { left_out, text }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lost.one(left_out),
        }
    }

    /// Waits until what was put is written or given up, at most for so long.
    pub(super) fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let (done, is_done) = sync_channel(1);
        loop {
            match self.to.try_send(Item::Flush(done.clone())) {
                Ok(()) => break,
                Err(TrySendError::Full(_)) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(_) => return,
            }
        }
        // Whether they are written or not: the process goes on, or ends.
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// How many lines were left out.
    pub(super) fn dropped(&self) -> u64 {
        self.lost.all.load(Relaxed)
    }
}

/// Takes a line that the subscriber has formatted: each comes whole.
#[derive(Debug)]
pub(super) struct Line<'q>(pub(super) &'q Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of the queue that may have to wait.
struct Writer<W> {
    lines: Receiver<Item>,
    to: W,
    form: Form,
    lost: Arc<Lost>,
    /// The last line that was begun has no end.
    torn: bool,
}

/// Lines that are written together.
#[derive(Default)]
struct Page {
    text: Vec<u8>,
    lines: Vec<Written>,
}

/// The lines in a part of a page, to count if it is not written.
struct Written {
    /// Where it ends.
    end: usize,
    what: What,
}

enum What {
    Line,
    /// A notice of lines that were left out.
    Notice {
        of: u64,
    },
}

impl Page {
    fn line(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.lines.push(Written { end: self.text.len(), what: What::Line });
    }

    fn left_out(&mut self, of: u64, form: Form) {
        if of == 0 {
            return;
        }
        let lines = if of == 1 { "line was" } else { "lines were" };
        let text = format!("{of} {lines} left out here: nobody read the log, or there was no room for it");
        self.text.extend_from_slice(&form.line(Weight::Warning, &text));
        self.lines.push(Written { end: self.text.len(), what: What::Notice { of } });
    }
}

impl<W: Write> Writer<W> {
    /// Writes lines until there can be no more. A page that is not empty was being written at a panic.
    fn run(&mut self, page: &mut Page) {
        self.give_up(page, 0);
        while let Ok(item) = self.next(page) {
            match item {
                Item::Line { left_out, text } => {
                    self.left_out(page, left_out);
                    page.line(&text);
                    if page.text.len() >= TOGETHER || self.form == Form::Journal {
                        self.write(page);
                    }
                }
                Item::Flush(done) => {
                    let left_out = self.lost.untold.swap(0, Relaxed);
                    self.left_out(page, left_out);
                    self.write(page);
                    // Whoever asked may have given up.
                    let _ = done.try_send(());
                }
            }
        }
        self.write(page);
    }

    /// Says how many were left out. An entry of the journal is a page of its own.
    fn left_out(&mut self, page: &mut Page, of: u64) {
        page.left_out(of, self.form);
        if self.form == Form::Journal {
            self.write(page);
        }
    }

    /// The next line. All earlier ones are written before it waits.
    fn next(&mut self, page: &mut Page) -> Result<Item, RecvError> {
        match self.lines.try_recv() {
            Ok(item) => Ok(item),
            Err(TryRecvError::Disconnected) => Err(RecvError),
            Err(TryRecvError::Empty) => {
                let left_out = self.lost.untold.swap(0, Relaxed);
                self.left_out(page, left_out);
                self.write(page);
                self.lines.recv()
            }
        }
    }

    /// Writes a page, which is empty then. Lines that can't be written are left out.
    fn write(&mut self, page: &mut Page) {
        if page.text.is_empty() {
            return;
        }
        if self.torn {
            self.torn = self.write_all(b"\n") == 0;
        }
        let written = if self.torn { 0 } else { self.write_all(&page.text) };
        let ended =
            page.lines.iter().filter(|line| line.end <= written).map(|line| line.end).max().unwrap_or(0);
        self.torn |= written > ended;
        self.give_up(page, written);
    }

    /// Leaves out the lines of a page that end after so many octets. The page is empty then.
    fn give_up(&self, page: &mut Page, written: usize) {
        for line in page.lines.iter().filter(|line| line.end > written) {
            match line.what {
                What::Line => self.lost.one(0),
                What::Notice { of } => drop(self.lost.untold.fetch_add(of, Relaxed)),
            }
        }
        page.text.clear();
        page.lines.clear();
    }

    /// Writes as much as can be written, and says how much that is.
    fn write_all(&mut self, text: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match self.to.write(rest) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(_) => break,
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    const PLAIN: Form = Form::Text { colours: false };
    const SOON: Duration = Duration::from_secs(10);

    /// A file that takes so many octets, and what it has taken.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Disk {
        fn with_room(octets: usize) -> Self {
            Self(Arc::new(Mutex::new((octets, Vec::new()))))
        }

        fn make_room(&self, octets: usize) {
            self.0.lock().expect("nobody panics").0 += octets;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("nobody panics").1.clone()).expect("text")
        }
    }

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().expect("nobody panics");
            let taken = octets.len().min(disk.0);
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            disk.0 -= taken;
            disk.1.extend_from_slice(&octets[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe that is read when the test says so.
    struct Pipe(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| ErrorKind::BrokenPipe)?;
            self.1.send(octets.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn while_nobody_reads_lines_are_left_out_and_told_of_where_they_are_missing() {
        let (read, to_read) = std::sync::mpsc::channel();
        let (written, lines) = std::sync::mpsc::channel();
        let queue = Queue::before(Pipe(to_read, written), PLAIN).expect("a thread");
        queue.put("first\n");
        let all = 20 * WAITING as u64;
        (0..all).for_each(|n| queue.put(format!("{n}\n")));
        let dropped = queue.dropped();
        assert!(dropped >= all - (WAITING + TOGETHER) as u64, "{dropped}");
        queue.flush(Duration::from_millis(20));

        (0..all).for_each(|_| read.send(()).expect("the thread reads"));
        let mut told = 0;
        while told < dropped {
            let page = lines.recv_timeout(SOON).expect("lines");
            let page = std::str::from_utf8(&page).expect("text");
            let counts = page.lines().filter(|line| line.contains("left out here"));
            told += counts
                .filter_map(|line| line.split(' ').find_map(|word| word.parse::<u64>().ok()))
                .sum::<u64>();
        }
        assert_eq!(told, dropped);
        queue.put("last\n");
        queue.flush(SOON);
        let rest: Vec<u8> = lines.try_iter().flatten().collect();
        assert_eq!(String::from_utf8_lossy(&rest), "last\n");
    }

    #[test]
    fn a_full_disk_costs_the_lines_that_it_does_not_take_and_no_other() {
        let disk = Disk::with_room(10);
        let queue = Queue::before(disk.clone(), PLAIN).expect("a thread");
        for line in ["first\n", "second\n", "third\n"] {
            queue.put(line);
            queue.flush(SOON);
        }
        assert_eq!((queue.dropped(), disk.text().as_str()), (2, "first\nseco"));
        disk.make_room(1000);
        queue.put("fourth\n");
        queue.flush(SOON);
        let text = disk.text();
        let (torn, rest) = text.split_at("first\nseco\n".len());
        assert_eq!(torn, "first\nseco\n");
        assert!(rest.contains("WARN 2 lines were left out here"), "{rest}");
        assert!(rest.ends_with("\nfourth\n"), "{rest}");
        assert_eq!(queue.dropped(), 2);
    }

    /// A file whose first write panics.
    struct Faulty(Disk, bool);

    impl Write for Faulty {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            assert!(std::mem::replace(&mut self.1, true), "on purpose");
            self.0.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_costs_the_lines_at_hand_and_the_log_goes_on() {
        let disk = Disk::with_room(1000);
        let queue = Queue::before(Faulty(disk.clone(), false), PLAIN).expect("a thread");
        queue.put("first\n");
        let begun = Instant::now();
        while queue.dropped() == 0 && begun.elapsed() < SOON {
            thread::yield_now();
        }
        queue.put("second\n");
        queue.flush(SOON);
        let text = disk.text();
        assert!(text.contains("1 line was left out here") && text.contains("second\n"), "{text}");
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn a_long_line_is_cut() {
        let disk = Disk::with_room(1 << 20);
        let queue = Queue::before(disk.clone(), PLAIN).expect("a thread");
        queue.put("x".repeat(100_000) + "\n");
        queue.flush(SOON);
        assert_eq!(disk.text(), format!("{} (cut)\n", "x".repeat(LONGEST)));
    }
}
