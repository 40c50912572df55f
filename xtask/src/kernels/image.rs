//! The file system that an emulated machine begins with: one program, the drivers, a script.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{Kernel, package::extracted};
use crate::{process, workspace};

/// The drivers that a kernel is to have: of the machine itself, of the NICs, of what tests make.
const MODULES: [&str; 10] = [
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "overlay",
    "virtio_net",
    "vmxnet3",
    "e1000e",
    "igb",
    "veth",
    "8021q",
];
/// The first program in there.
const INIT: &str = include_str!("init.sh");

/// Makes the image of a kernel that is to run a script.
pub(super) fn of(kernel: &Kernel, script: &str) -> Result<PathBuf> {
    let root = workspace::target_dir().join("kernels").join(format!("{}.root", kernel.version));
    let _ = fs::remove_dir_all(&root);
    for dir in ["bin", "proc", "sys", "dev", "host", "memory", "root", "modules"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy(extracted("busybox-static")?.join("bin/busybox"), root.join("bin/busybox"))?;
    write_executable(&root.join("init"), INIT)?;
    fs::write(root.join("job.sh"), script)?;
    let mut order = String::new();
    for module in modules(kernel)? {
        let name = module.file_name().context("a module without a name")?;
        let copy = root.join("modules").join(name);
        if !copy.exists() {
            fs::copy(&module, copy)?;
            order += &format!("{}\n", name.display());
        }
    }
    fs::write(root.join("modules/order"), order)?;
    packed(&root)
}

/// The modules and what they rest on, in the order in which they are loaded. What is built into the kernel is none.
fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for module in MODULES {
        let mut modprobe = Command::new(process::find("modprobe").context("there is no modprobe")?);
        modprobe.arg("--dirname").arg(&kernel.tree).args(["--set-version", &kernel.version]);
        let said = process::output(modprobe.args(["--show-depends", module]))
            .with_context(|| format!("Linux {} has no {module}", kernel.version))?;
        let paths = said.lines().filter_map(|line| line.strip_prefix("insmod "));
        found.extend(paths.map(|path| PathBuf::from(path.trim())));
    }
    Ok(found)
}

/// Puts a tree into an archive as the kernel takes it.
fn packed(root: &Path) -> Result<PathBuf> {
    let image = root.with_extension("cpio");
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--quiet", "--owner=+0:+0"]).current_dir(root);
    let mut cpio =
        cpio.stdin(Stdio::piped()).stdout(fs::File::create(&image)?).spawn().context("can't start cpio")?;
    let mut names = cpio.stdin.take().context("cpio has no input")?;
    list(root, Path::new(""), &mut |name| writeln!(names, "{}", name.display()).map_err(Into::into))?;
    drop(names);
    ensure!(cpio.wait()?.success(), "cpio failed");
    Ok(image)
}

/// Names everything below `root` to `tell`, directories before what is in them.
fn list(root: &Path, dir: &Path, tell: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let name = dir.join(entry.file_name());
        tell(&name)?;
        if entry.file_type()?.is_dir() {
            list(root, &name, tell)?;
        }
    }
    Ok(())
}

fn write_executable(path: &Path, content: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}
