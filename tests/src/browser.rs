//! A real browser in the server's namespace: Chromium without a window.

use std::process::Command;

use crate::topology::Lan;

/// The command that opens `url` there, with `more` arguments. It ends when the page has come to rest.
#[must_use]
pub fn browser(lan: &Lan, url: &str, more: &[&str]) -> Command {
    // One whose page never comes to rest would wait for ever.
    let mut command = lan.server.command("timeout");
    let dir = lan.world.dir().join("chromium");
    command.env("HOME", &dir).args([
        "60",
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--virtual-time-budget=4000",
    ]);
    command.arg(format!("--user-data-dir={}", dir.display())).args(more).arg(url);
    command
}
