//! Finds where the host serves its router. If exactly one place is certain, accounts are added there. Otherwise the
//! user gets the lines to write.

mod calls;
mod errors;
mod finder;
mod lints;
mod place;
mod port;
mod site;

use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Item, visit::Visit};

use self::{
    calls::Calls,
    place::{Wait, WithAccounts, statement},
    site::{Doubt, Shape, Site},
};
use super::{
    code::{
        names::Names,
        tree::{Source, Tree},
        values::Declared,
    },
    package::Host,
    target::{Kind, Target},
};

/// Why no place for accounts was found.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("this package has several binaries: choose the one that serves your routes with {0}")]
    Programs(String),
    #[error("this package has no binary `{program}`: use one of {programs}")]
    NoProgram { program: String, programs: String },
    #[error("this package has no library or binary to add accounts to")]
    Nothing,
    #[error(
        "the binary `{name}` is a single file, and Cargo would treat new files next to it as binaries: run `mkdir {folder}/{name} && git mv \
         {folder}/{name}.rs {folder}/{name}/main.rs`, commit, and install again"
    )]
    OneFile { name: String, folder: String },
    #[error("`{0}` is outside the package, so accounts can't be a module of it: move it into the package")]
    Outside(PathBuf),
}

/// A file of the host, and its text with accounts around the router.
#[derive(Debug)]
pub struct Around<'a> {
    pub source: &'a Source,
    pub after: String,
}

/// A library or binary of the host, with its files.
pub struct Crate {
    target: Target,
    tree: Tree,
}

/// What the host serves, and where accounts go.
pub struct Survey {
    crates: Vec<Crate>,
    /// The index of the crate that gets the module.
    home: usize,
    pub sites: Vec<Site>,
    has_accounts: bool,
    module: String,
    panic_is_linted: bool,
    /// The folder of the package.
    root: PathBuf,
}

impl Survey {
    /// Surveys the host's crates. `program` is the binary that serves, if `--bin` names it. `is_there` means that the
    /// module is already declared.
    pub fn of(host: &Host, module: &str, program: Option<&str>, is_there: bool) -> Result<Self, ServeError> {
        let read = |target: &Target| Crate { target: target.clone(), tree: Tree::of(&target.root, module) };
        let crates = host.targets.iter().map(read).collect();
        let neighbors: Vec<Crate> = host.neighbors.iter().map(read).collect();
        let survey = Self::of_crates(crates, &neighbors, module, program, is_there, host.root.clone())?;
        let panic_is_linted = survey.panic_is_linted || lints::are_on_panics(&host.root, &host.workspace);
        Ok(Self { panic_is_linted, ..survey })
    }

    fn of_crates(
        crates: Vec<Crate>,
        neighbors: &[Crate],
        module: &str,
        program: Option<&str>,
        is_there: bool,
        root: PathBuf,
    ) -> Result<Self, ServeError> {
        let crates = chosen(crates, program)?;
        let names = names_of(&crates);
        let names_of_neighbors = names_of(neighbors);
        let mut declared = Declared::of(with_names(&crates, &names).map(|(_, source, names)| (source, names)));
        for (at, neighbor) in neighbors.iter().enumerate() {
            let sources = neighbor.tree.sources.iter().zip(&names_of_neighbors[at]);
            declared.add_neighbor(neighbor.target.crate_name(), Declared::of(sources));
        }
        let (mut sites, mut has_accounts) = (Vec::<Site>::new(), false);
        for (at, source, names) in with_names(&crates, &names) {
            let found = finder::find(source, names, &declared);
            has_accounts |= found.has_accounts;
            for site in found.sites {
                match sites.iter_mut().find(|known| known.path == site.path && known.line == site.line) {
                    Some(known) if !known.crates.contains(&at) => known.crates.push(at),
                    _ => sites.push(Site { crates: vec![at], ..site }),
                }
            }
        }
        let servers = sites.len();
        for site in &mut sites {
            let doubt = doubt_of(site, servers, &crates);
            site.doubt = site.doubt.take().or(doubt);
        }
        drop(declared);
        let declares = |krate: &Crate| is_there && krate.declares(module);
        let home = match crates.iter().position(declares) {
            Some(home) => home,
            None => home(&crates, &sites, program)?,
        };
        let panic_is_linted = crates.iter().filter_map(|krate| krate.tree.sources.first()).any(lints::are_on_panics_in);
        Ok(Self { crates, home, sites, has_accounts, module: module.to_owned(), panic_is_linted, root })
    }

    /// Returns the root file of the crate that declares the module.
    pub fn root(&self) -> &Path {
        &self.crates[self.home].target.root
    }

    pub fn is_library(&self) -> bool {
        self.crates[self.home].target.kind != Kind::Program
    }

    pub fn has_program(&self) -> bool {
        self.crates.iter().any(|krate| krate.target.kind == Kind::Program)
    }

    /// Returns the folder of the module, relative to the package.
    pub fn folder(&self) -> Result<String, ServeError> {
        let root = self.root();
        let Ok(relative) = root.strip_prefix(&self.root) else { return Err(ServeError::Outside(root.to_owned())) };
        let folder = relative.parent().unwrap_or(Path::new("")).to_string_lossy().replace('\\', "/");
        if folder == "src/bin" {
            return Err(ServeError::OneFile { name: self.crates[self.home].target.name.clone(), folder });
        }
        Ok(folder)
    }

    /// Returns the files of the crates, without the module of accounts.
    pub fn sources(&self) -> impl Iterator<Item = &Source> + Clone {
        self.crates.iter().flat_map(|krate| &krate.tree.sources)
    }

    /// Returns files that aren't valid Rust, with the error. What they serve is unknown.
    pub fn unparsed(&self) -> impl Iterator<Item = (String, String)> {
        let unparsed = self.crates.iter().flat_map(|krate| &krate.tree.unparsed);
        unparsed.map(|file| (self.relative(&file.path), file.error.to_string()))
    }

    pub fn port(&self) -> Option<u16> {
        port::find(self.sources())
    }

    /// Returns the names of the functions that serve.
    pub fn serving(&self) -> Vec<String> {
        self.sites.iter().filter_map(|site| site.function.as_ref()).map(|function| function.name.clone()).collect()
    }

    /// Returns the root file of the crate, if it is valid Rust.
    pub fn source_of_root(&self) -> Option<&Source> {
        self.crates[self.home].tree.sources.iter().find(|source| source.path == self.root())
    }

    /// Returns the place that accounts can be added to, if exactly one is certain.
    pub fn certain(&self) -> Option<(&Site, &Source)> {
        if self.has_accounts || self.unparsed().next().is_some() {
            return None;
        }
        let site = self.sites.iter().find(|site| site.certain().is_some())?;
        Some((site, self.source(site)?))
    }

    /// Returns the file of the certain place, with accounts added.
    pub fn around(&self) -> Option<Around<'_>> {
        let (site, source) = self.certain()?;
        Some(Around { source, after: site.certain()?.around(&source.text, &self.with_accounts(site)) })
    }

    /// Returns whether accounts are already around a router.
    pub fn has_accounts(&self) -> bool {
        self.has_accounts
    }

    fn source(&self, site: &Site) -> Option<&Source> {
        self.sources().find(|source| source.path == site.path)
    }

    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }

    /// Returns the function, as called from a place.
    fn with_accounts(&self, site: &Site) -> WithAccounts {
        self.with_accounts_from(site.crates.first().copied())
    }

    fn with_accounts_from(&self, krate: Option<usize>) -> WithAccounts {
        let path = format!("{}::with_accounts", self.module_from(krate));
        WithAccounts { path, panic_is_linted: self.panic_is_linted }
    }

    /// Returns the path of the module, as seen from a crate.
    fn module_from(&self, krate: Option<usize>) -> String {
        if krate == Some(self.home) {
            format!("crate::{}", self.module)
        } else {
            format!("{}::{}", self.crates[self.home].target.crate_name(), self.module)
        }
    }

    /// Returns the path of the module as seen from the host's handlers, which are in the same crate.
    pub fn module_path(&self) -> String {
        format!("crate::{}", self.module)
    }

    /// Returns what the host has to write, if it wasn't written automatically.
    pub fn advice(&self) -> Vec<String> {
        if self.has_accounts || self.certain().is_some() {
            return Vec::new();
        }
        let mut advice =
            vec!["Accounts aren't added to your router yet, because it isn't clear where it is served.".to_owned()];
        for (path, error) in self.unparsed() {
            advice.push(format!("Can't parse {path}: {error}. What it serves is unknown."));
        }
        for site in &self.sites {
            let Some(source) = self.source(site) else { continue };
            let lines = indented(&site.lines(&source.text, &self.with_accounts(site)));
            let place = format!("{}:{}", self.relative(&site.path), site.line);
            let verb = if site.shape == Shape::Loco { "In its `impl Hooks`, write" } else { "Write there" };
            let remark = site.remark().map(|remark| format!("\n\n{remark}")).unwrap_or_default();
            advice.push(format!("{place} {}. {verb}\n\n{lines}{remark}", site.reason()));
        }
        if self.sites.is_empty() {
            let program = self.crates.iter().position(|krate| krate.target.kind == Kind::Program);
            let from = program.filter(|_| self.has_program());
            let lines = format!(
                "{}\naxum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>())",
                statement(&self.with_accounts_from(from), &Wait::Await, false)
            );
            advice.push(format!(
                "Found no place where a router is served. In the async function that serves yours, write\n\n{}",
                indented(&lines)
            ));
        }
        advice
    }
}

fn indented(lines: &str) -> String {
    let indent = |line: &str| if line.is_empty() { String::new() } else { format!("    {line}") };
    lines.lines().map(indent).collect::<Vec<_>>().join("\n")
}

/// Returns the libraries and, if `--bin` names one, only that binary.
fn chosen(crates: Vec<Crate>, program: Option<&str>) -> Result<Vec<Crate>, ServeError> {
    let Some(asked) = program else { return Ok(crates) };
    let is_asked = |krate: &Crate| krate.target.kind == Kind::Program && krate.target.name == asked;
    if !crates.iter().any(is_asked) {
        return Err(ServeError::NoProgram { program: asked.to_owned(), programs: programs(&crates) });
    }
    Ok(crates.into_iter().filter(|krate| krate.target.kind != Kind::Program || is_asked(krate)).collect())
}

fn programs(crates: &[Crate]) -> String {
    let programs = crates.iter().filter(|krate| krate.target.kind == Kind::Program);
    programs.map(|krate| format!("`--bin {}`", krate.target.name)).collect::<Vec<_>>().join(", ")
}

fn names_of(crates: &[Crate]) -> Vec<Vec<Names>> {
    let of = |krate: &Crate| krate.tree.sources.iter().map(|source| Names::of(&source.file)).collect();
    crates.iter().map(of).collect()
}

fn with_names<'a>(
    crates: &'a [Crate],
    names: &'a [Vec<Names>],
) -> impl Iterator<Item = (usize, &'a Source, &'a Names)> {
    let of = |(at, krate): (usize, &'a Crate)| {
        krate.tree.sources.iter().zip(&names[at]).map(move |(source, names)| (at, source, names))
    };
    crates.iter().enumerate().flat_map(of)
}

/// Returns why a place that is clear by itself isn't certain.
fn doubt_of(site: &Site, servers: usize, crates: &[Crate]) -> Option<Doubt> {
    if servers > 1 {
        return Some(Doubt::Several(servers));
    }
    if site.crates.len() > 1 {
        return Some(Doubt::Shared);
    }
    let function = site.function.as_ref().filter(|function| function.name != "main")?;
    let mut calls = Calls::of(function);
    let mut seen = Vec::new();
    for source in crates.iter().flat_map(|krate| &krate.tree.sources) {
        if !seen.contains(&&source.path) {
            seen.push(&source.path);
            calls.visit_file(&source.file);
        }
    }
    match calls.count {
        2.. => Some(Doubt::Called(function.name.clone(), calls.count)),
        0 if function.takes_router => Some(Doubt::GivenRouter(function.name.clone())),
        _ => None,
    }
}

/// Returns the index of the crate for the module. Handlers are next to the routes, so it is the library if the serving
/// binary uses one.
fn home(crates: &[Crate], sites: &[Site], program: Option<&str>) -> Result<usize, ServeError> {
    let library = crates.iter().position(|krate| krate.target.kind == Kind::Library);
    let of = |krate: usize| sites.iter().any(|site| site.crates.contains(&krate));
    let serving: Vec<usize> = (0..crates.len()).filter(|at| of(*at)).collect();
    let is_program = |at: &usize| crates[*at].target.kind == Kind::Program;
    let all: Vec<usize> = (0..crates.len()).filter(is_program).collect();
    if let Some(library) = library {
        let uses = |at: &usize| crates[*at].uses(&crates[library].target.crate_name());
        let of_program = if serving.is_empty() { &all } else { &serving };
        if serving.contains(&library) || of_program.iter().all(uses) {
            return Ok(library);
        }
    }
    let loaded = serving.iter().find(|at| crates[**at].target.kind == Kind::Loaded);
    let programs: Vec<usize> =
        if serving.is_empty() { all } else { serving.iter().copied().filter(is_program).collect() };
    match (programs[..].as_ref(), loaded, program) {
        ([], Some(loaded), _) => Ok(*loaded),
        ([], None, _) => library.or((!crates.is_empty()).then_some(0)).ok_or(ServeError::Nothing),
        ([only], ..) => Ok(*only),
        (_, _, Some(asked)) => crates
            .iter()
            .position(|krate| krate.target.name == asked && krate.target.kind == Kind::Program)
            .ok_or(ServeError::Nothing),
        _ => Err(ServeError::Programs(self::programs(crates))),
    }
}

impl Crate {
    fn declares(&self, module: &str) -> bool {
        let is_it = |item: &Item| matches!(item, Item::Mod(item) if item.ident == module);
        self.tree.sources.first().is_some_and(|root| root.file.items.iter().any(is_it))
    }

    /// Returns whether its code uses another crate.
    fn uses(&self, krate: &str) -> bool {
        let (path, import) = (format!(" {krate} ::"), format!("use {krate} "));
        let names = |source: &Source| {
            let code = format!(" {}", source.file.to_token_stream());
            code.contains(&import) || code.match_indices(&path).any(|(at, _)| !code[..at].ends_with("::"))
        };
        self.tree.sources.iter().any(names)
    }
}

#[cfg(test)]
mod tests;
