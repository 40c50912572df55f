//! The tests in the sources, what they claim, and where they run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use super::claims::{self, Claim};

/// A test that claims something.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) name: String,
    /// From the workspace's directory.
    pub(super) file: PathBuf,
    pub(super) claims: Vec<Claim>,
    pub(super) places: BTreeSet<Place>,
}

/// Where a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Inside one crate.
    Core,
    /// On the wire, without the XDP program.
    DaemonPath,
    /// On the wire, with the XDP program attached.
    KernelPath,
    /// The same, and the test looks at the program's count of answers.
    KernelAnswer,
}

/// Where tests are looked for.
const CORE: [&str; 3] = ["dhcp-user/src", "dhcp-ebpf/src", "dhcp-ebpf/tests"];
const WIRE: &str = "tests/tests";

/// All tests that claim something, in the order of their files, and what is wrong with the claims as they stand there.
///
/// # Errors
/// When a source can't be read or is no Rust.
pub(super) fn tests(root: &Path) -> Result<(Vec<Test>, Vec<String>)> {
    let mut found = Found::default();
    for dir in CORE {
        for file in sources(&root.join(dir))? {
            found.core(&Source::read(root, &file)?);
        }
    }
    for entry in listed(&root.join(WIRE))? {
        let files = if entry.is_dir() { sources(&entry)? } else { vec![entry] };
        let target: Vec<Source> = files.iter().map(|file| Source::read(root, file)).collect::<Result<_>>()?;
        found.wire(&target);
    }
    Ok((found.tests, found.faults))
}

/// The Rust files below `dir`, in order.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in listed(dir)? {
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("can't read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

/// A source file: its functions, and how many claims its documentation has in all.
struct Source {
    file: PathBuf,
    functions: Vec<Function>,
    claims: usize,
}

/// A function, whatever it belongs to.
struct Function {
    name: String,
    doc: String,
    is_test: bool,
    ignored: bool,
    /// The words of its body, those in macros included.
    words: BTreeSet<String>,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Result<Self> {
        let file = path.strip_prefix(root).unwrap_or(path).to_owned();
        let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("{} is no Rust", path.display()))?;
        let mut functions = Vec::new();
        collect(&parsed.items, &mut functions);
        let docs = text.lines().filter_map(|line| line.trim_start().strip_prefix("///"));
        let doc: String = docs.collect::<Vec<_>>().join("\n");
        // Half a claim is told of where it stands.
        let claims = claims::read(&doc).map_or(0, |claims| claims.len());
        Ok(Self { file, functions, claims })
    }
}

fn collect(items: &[syn::Item], into: &mut Vec<Function>) {
    for item in items {
        match item {
            syn::Item::Fn(function) => {
                into.push(Function::new(&function.attrs, &function.sig, &function.block));
            }
            syn::Item::Impl(block) => into.extend(block.items.iter().filter_map(|item| match item {
                syn::ImplItem::Fn(method) => Some(Function::new(&method.attrs, &method.sig, &method.block)),
                _ => None,
            })),
            syn::Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    collect(items, into);
                }
            }
            _ => {}
        }
    }
}

impl Function {
    fn new(attributes: &[syn::Attribute], signature: &syn::Signature, body: &syn::Block) -> Self {
        let mut words = BTreeSet::new();
        gather(body.to_token_stream(), &mut words);
        let is = |name| attributes.iter().any(|attribute| attribute.path().is_ident(name));
        let doc: Vec<String> = attributes.iter().filter_map(doc_line).collect();
        Self {
            name: signature.ident.to_string(),
            doc: doc.join("\n"),
            is_test: is("test"),
            ignored: is("ignore"),
            words,
        }
    }
}

fn doc_line(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(meta) = &attribute.meta else { return None };
    match &meta.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) if meta.path.is_ident("doc") => {
            Some(text.value())
        }
        _ => None,
    }
}

/// The identifiers in `tokens`; those after `::` also with what is before.
fn gather(tokens: TokenStream, words: &mut BTreeSet<String>) {
    let mut path = String::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                path = if path.ends_with("::") { path + &word } else { word.clone() };
                words.insert(path.clone());
                words.insert(word);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => path.push(':'),
            TokenTree::Group(group) => {
                gather(group.stream(), words);
                path.clear();
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => path.clear(),
        }
    }
}

#[derive(Default)]
struct Found {
    tests: Vec<Test>,
    faults: Vec<String>,
}

impl Found {
    fn core(&mut self, source: &Source) {
        self.of(source, |_| BTreeSet::from([Place::Core]));
    }

    /// The files of one test target: what a test does may be done by a function of its own target.
    fn wire(&mut self, target: &[Source]) {
        let mut bodies: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for function in target.iter().flat_map(|source| &source.functions) {
            let words = function.words.iter().map(String::as_str);
            bodies.entry(&function.name).or_default().extend(words);
        }
        for source in target {
            self.of(source, |test| on_the_wire(&reached(&test.words, &bodies)));
        }
    }

    fn of(&mut self, source: &Source, places: impl Fn(&Function) -> BTreeSet<Place>) {
        let file = source.file.display();
        let mut told = 0;
        for function in source.functions.iter().filter(|function| function.is_test) {
            let claims = match claims::read(&function.doc) {
                Ok(claims) => claims,
                Err(error) => {
                    self.faults.push(format!("{file}: {}: {error:#}", function.name));
                    continue;
                }
            };
            told += claims.len();
            if claims.is_empty() {
                continue;
            }
            if function.ignored {
                self.faults.push(format!("{file}: {} claims something and is ignored", function.name));
            }
            let places = places(function);
            if places.is_empty() {
                self.faults.push(format!("{file}: {} claims something and starts no server", function.name));
            }
            self.tests.push(Test { name: function.name.clone(), file: source.file.clone(), claims, places });
        }
        if told < source.claims {
            self.faults.push(format!("{file}: of {} claims only {told} stand above a test", source.claims));
        }
    }
}

/// The words of a test and of all functions it may call.
fn reached<'a>(words: &'a BTreeSet<String>, bodies: &BTreeMap<&str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut all: BTreeSet<&str> = BTreeSet::new();
    let mut new: Vec<&str> = words.iter().map(String::as_str).collect();
    while let Some(word) = new.pop() {
        if all.insert(word) {
            new.extend(bodies.get(word).into_iter().flatten());
        }
    }
    all
}

fn on_the_wire(words: &BTreeSet<&str>) -> BTreeSet<Place> {
    let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let attached = has(&["Xdp::Native", "Xdp::Generic"]);
    let mut places = BTreeSet::new();
    if has(&["Xdp::Off"]) {
        places.insert(Place::DaemonPath);
    }
    if attached {
        places.insert(Place::KernelPath);
    }
    if attached && has(&["kernel_acked", "all_kernel_acked"]) {
        places.insert(Place::KernelAnswer);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        let dir = std::env::temp_dir().join(format!("xtask-sources-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("{}.rs", text.len()));
        fs::write(&file, text).unwrap();
        let source = Source::read(&dir, &file).unwrap();
        fs::remove_file(&file).unwrap();
        source
    }

    const CLAIM: &str = "/// RFC 1 §2, MUST (a): x\n";

    #[test]
    fn a_wire_test_runs_where_the_functions_it_calls_start_the_server() {
        let text = format!(
            "{CLAIM}#[test] fn t() {{ both(|site| site.renew()) }}
             fn both() {{ for xdp in [Xdp::Native, Xdp::Off] {{ start(xdp); }} }}
             struct Site; impl Site {{ fn renew(&self) {{ ensure!(stats.kernel_acked(1)? == 1); }} }}
             fn other() {{ Xdp::Generic; }}"
        );
        let mut found = Found::default();
        found.wire(&[source(&text)]);
        let all = [Place::DaemonPath, Place::KernelPath, Place::KernelAnswer];
        assert_eq!(found.tests[0].places, BTreeSet::from(all));
        assert_eq!(found.faults, Vec::<String>::new());
    }

    #[test]
    fn claims_that_nothing_runs_are_faults() {
        for text in [
            format!("{CLAIM}fn t() {{}}"),
            format!("{CLAIM}#[test] #[ignore] fn t() {{}}"),
            format!("m! {{\n{CLAIM}#[test] fn t() {{}} }}"),
            "/// RFC 1 §2, MUST: x\n#[test] fn t() {}".to_owned(),
        ] {
            let mut found = Found::default();
            found.core(&source(&text));
            assert_eq!(found.faults.len(), 1, "{text}: {:?}", found.faults);
        }
        let mut found = Found::default();
        found.wire(&[source(&format!("{CLAIM}#[test] fn t() {{}}"))]);
        assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    }
}
