//! BPF objects: taken from those that are kept with the sources, or built anew; recorded, and compared.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use bpf_object::{LOAD, Manifest, Program, Recorded, XDHCPD};
use object::{Object, ObjectSection, SectionFlags, elf};

use crate::{process, setup, toolchain::BpfToolchain, workspace};

/// The architecture whose objects are built here.
const ARCHITECTURE: &str = std::env::consts::ARCH;

/// Octets of a BPF instruction.
const INSTRUCTION: u64 = 8;

/// Where a program's object is put for those that embed or load it.
fn place(program: &Program) -> PathBuf {
    if program.package == XDHCPD.package { workspace::bpf_object() } else { workspace::load_object() }
}

/// Makes sure that a program's object is in its place: what was built of these sources before, or the recorded one; else
/// it is built, and what that needs is installed first.
///
/// # Errors
/// When it must be built and can't be.
pub(crate) fn provide(program: &Program) -> Result<PathBuf> {
    let object = place(program);
    if fits(program, &object)? {
        return Ok(object);
    }
    let recorded = program.recorded(&workspace::root());
    if fits(program, &recorded)? {
        put(&fs::read(&recorded)?, &Manifest::beside(&recorded)?, &object)?;
        return Ok(object);
    }
    println!("building {}: the recorded object is of other sources or for another machine", object.display());
    build(program, &setup::bpf_toolchain()?)?;
    Ok(object)
}

/// Builds both objects anew, whatever is there.
///
/// # Errors
/// When a compiler fails; it has said why by then.
pub(crate) fn rebuild() -> Result<()> {
    let toolchain = setup::bpf_toolchain()?;
    [&XDHCPD, &LOAD].into_iter().try_for_each(|program| build(program, &toolchain).map(drop))
}

/// Builds both objects anew and keeps them with the sources.
///
/// # Errors
/// When a compiler fails, or a file can't be written.
pub(crate) fn record() -> Result<()> {
    rebuild()?;
    for program in [&XDHCPD, &LOAD] {
        let object = place(program);
        let recorded = program.recorded(&workspace::root());
        let manifest = Manifest::beside(&object)?;
        put(&fs::read(&object)?, &manifest, &recorded)?;
        println!(
            "recorded {}: {} instructions, {}",
            recorded.display(),
            manifest.instructions,
            manifest.compiler
        );
    }
    Ok(())
}

/// Builds both objects anew; they are in place for the tests that follow.
///
/// # Errors
/// When a recorded object is of other sources, or differs though compiler and linker are those it was recorded with.
pub(crate) fn verify() -> Result<()> {
    let stale = stale()?;
    if !stale.is_empty() {
        bail!("{}", stale.join("\n"));
    }
    rebuild()?;
    for program in [&XDHCPD, &LOAD] {
        let recorded = program.recorded(&workspace::root());
        let (then, now) = (Manifest::beside(&recorded)?, Manifest::beside(&place(program))?);
        if then.object == now.object {
            println!("{} is what its sources make", recorded.display());
        } else if then.same_toolchain(&now) {
            bail!(
                "{} is not what its sources make with {} and {}: run `cargo xtask build --record` and commit what it \
                 writes",
                recorded.display(),
                now.compiler,
                now.linker
            );
        } else {
            println!(
                "{} was recorded by {}; {} makes another, and the tests are run with that one",
                recorded.display(),
                then.compiler,
                now.compiler
            );
        }
    }
    Ok(())
}

/// What to do about each recorded object that is of other sources. Needs no compiler.
///
/// # Errors
/// When a source can't be read.
pub(crate) fn stale() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for program in [&XDHCPD, &LOAD] {
        let recorded = program.recorded(&workspace::root());
        let architecture = Manifest::beside(&recorded).map(|manifest| manifest.architecture);
        let architecture = architecture.as_deref().unwrap_or(ARCHITECTURE);
        if program.fits(&recorded, &workspace::root(), architecture)? == Recorded::Differs {
            let shown = recorded.strip_prefix(workspace::root()).unwrap_or(&recorded).display();
            found.push(format!(
                "{shown} is not of the sources of {}: run `cargo xtask build --record` and commit what it writes",
                program.package
            ));
        }
    }
    Ok(found)
}

/// The object that the daemon is to embed though the recorded one is of the same sources: one that was built anew by
/// another compiler.
pub(crate) fn instead_of_recorded() -> Option<PathBuf> {
    let (built, recorded) = (place(&XDHCPD), XDHCPD.recorded(&workspace::root()));
    let both_fit = fits(&XDHCPD, &built).ok()? && fits(&XDHCPD, &recorded).ok()?;
    (both_fit && fs::read(&built).ok()? != fs::read(&recorded).ok()?).then_some(built)
}

fn fits(program: &Program, object: &Path) -> Result<bool> {
    let recorded = program
        .fits(object, &workspace::root(), ARCHITECTURE)
        .with_context(|| format!("can't read the sources of {}", program.package))?;
    Ok(recorded == Recorded::Fits)
}

/// Builds a program in a target directory of its own, so that host builds stay fresh, and puts it in its place.
fn build(program: &Program, toolchain: &BpfToolchain) -> Result<()> {
    let object = place(program);
    let target_dir = object.parent().context("the object's place has no directory")?;
    let rust = &toolchain.rust;
    let mut flags = program.flags(ARCHITECTURE);
    // The same octets wherever clone, registry and compiler are.
    let mut known = vec![(workspace::root(), "")];
    known.extend(workspace::cargo_home().map(|home| (home, "cargo")));
    known.extend(rust.sysroot().map(|sysroot| (sysroot, "rust")));
    flags.extend(known.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())));
    let mut cargo = Command::new(&rust.cargo);
    cargo
        .current_dir(workspace::root())
        .args([
            "build",
            "--release",
            "--package",
            program.package,
            "--bin",
            program.package,
            "--features",
            "program",
        ])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none", "--target-dir"])
        .arg(target_dir)
        .env("RUSTC", &rust.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        // Flags are separated by 0x1f, so that a path may hold spaces. The linker is none of them: its path would go
        // into the names of symbols.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    process::run(&mut cargo)
        .with_context(|| format!("the BPF object of {} does not build", program.package))?;
    let linked = target_dir.join("bpfel-unknown-none/release").join(program.package);
    let stripped = target_dir.join(program.package).with_extension("stripped");
    // Type information and relocations stay: they are what the object is loaded by. What is for debuggers goes.
    process::run(rust.objcopy()?.arg("--strip-debug").args([&linked, &stripped]))
        .context("can't strip the BPF object")?;
    let bytes = fs::read(&stripped).with_context(|| format!("can't read {}", stripped.display()))?;
    let manifest = Manifest {
        sources: program.sources(&workspace::root(), ARCHITECTURE)?,
        object: bpf_object::hash(&bytes),
        architecture: ARCHITECTURE.into(),
        instructions: instructions(&bytes)?,
        compiler: rust.version.clone(),
        llvm: rust.llvm_version.clone(),
        linker: process::output(Command::new(&toolchain.linker).arg("--version"))?.trim().to_owned(),
    };
    put(&bytes, &manifest, &object)
}

/// How many instructions an object's programs have.
fn instructions(object: &[u8]) -> Result<u64> {
    let file = object::File::parse(object).context("the linker made no object")?;
    let executable = |flags| matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0);
    Ok(file
        .sections()
        .filter(|section| executable(section.flags()))
        .map(|section| section.size() / INSTRUCTION)
        .sum())
}

/// An object that did not change keeps its time, and the daemon is not compiled again.
fn put(bytes: &[u8], manifest: &Manifest, object: &Path) -> Result<()> {
    for (path, content) in [(object, bytes), (&Manifest::path(object), manifest.to_string().as_bytes())] {
        if fs::read(path).is_ok_and(|present| present == content) {
            continue;
        }
        let dir = path.parent().context("the object's place has no directory")?;
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(path, content))
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}
