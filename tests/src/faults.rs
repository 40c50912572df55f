//! A hostile machine: system calls of a program wait, or fail, while a test wants them to.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::run;
use crate::wait::{PROMPT, until};

/// What is loaded before the C library.
const SOURCE: &str = include_str!("faults.c");

/// Faults that a program can be given, each by the name of a function of the C library.
#[derive(Debug)]
pub struct Faults {
    library: String,
    directory: String,
}

/// A fault that is there until this is dropped.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Fault(PathBuf);

impl Faults {
    /// Makes them, in `dir`.
    ///
    /// # Errors
    /// When there is no C compiler (`cargo xtask setup` installs one).
    pub fn new(dir: &Path) -> Result<Self> {
        let directory = dir.join("faults");
        fs::create_dir_all(&directory)?;
        let source = dir.join("faults.c");
        let library = dir.join("faults.so");
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        run(&mut compiler).context("the C compiler makes the library of faults")?;
        Ok(Self { library: library.display().to_string(), directory: directory.display().to_string() })
    }

    /// What a program's environment needs to have them.
    #[must_use]
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("XDHCPD_FAULTS", &self.directory)]
    }

    /// Calls of `function` wait from now on.
    ///
    /// # Errors
    /// When that can't be said.
    pub fn wait(&self, function: &str) -> Result<Fault> {
        self.put(function, "wait")
    }

    /// Calls of `function` take so much longer from now on.
    ///
    /// # Errors
    /// When that can't be said.
    pub fn slow(&self, function: &str, by: Duration) -> Result<Fault> {
        self.put(function, &format!("slow {}", by.as_millis()))
    }

    /// Calls of `function` fail from now on.
    ///
    /// # Errors
    /// When that can't be said.
    pub fn fail(&self, function: &str, errno: i32) -> Result<Fault> {
        self.put(function, &format!("fail {errno}"))
    }

    /// The next call of `function` fails.
    ///
    /// # Errors
    /// When that can't be said.
    pub fn fail_once(&self, function: &str, errno: i32) -> Result<Fault> {
        self.put(function, &format!("once {errno}"))
    }

    /// The program makes the system call of this number, without arguments; the error that it meets, or 0.
    ///
    /// # Errors
    /// When it makes no call at all within a time.
    pub fn try_call(&self, number: libc::c_long) -> Result<i32> {
        let tried = Path::new(&self.directory).join("tried");
        let _ = fs::remove_file(&tried);
        let _wanted = self.put("try", &number.to_string())?;
        until("the system call to be made", PROMPT, || {
            let said = fs::read_to_string(&tried).unwrap_or_default();
            Ok(said.strip_suffix('\n').and_then(|errno| errno.parse().ok()))
        })
    }

    fn put(&self, function: &str, what: &str) -> Result<Fault> {
        let file = Path::new(&self.directory).join(function);
        // It is there as a whole or not at all.
        let unfinished = Path::new(&self.directory).join(format!("{function}.new"));
        fs::write(&unfinished, what)?;
        fs::rename(&unfinished, &file)?;
        Ok(Fault(file))
    }
}

impl Fault {
    /// Whether a call has met it; of one that was to fail once.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        !self.0.exists()
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // One that was to come once may be gone.
        let _ = fs::remove_file(&self.0);
    }
}
