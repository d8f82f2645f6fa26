//! Passes the host's own database pool to accounts, so that users are stored next to its other tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use quote::ToTokens;
use syn::{
    Block, Expr, ExprCall, FnArg, GenericArgument, ImplItemFn, ItemFn, Local, Pat, PathArguments, ReturnType,
    Signature, Stmt, Type,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{plan::choices::Database, system::text_file::parse_rust};

/// The function around the router, and its variant that takes a pool.
const WITH_ACCOUNTS: &str = "with_accounts";
const WITH_ACCOUNTS_IN: &str = "with_accounts_in";

/// The name of a copied pool, which nothing else in the host should use.
const OWN_NAME: &str = "accounts_pool";

/// Methods that return the value of a result, or end the program.
const UNWRAPPED_BY: [&str; 5] = ["unwrap", "expect", "context", "with_context", "unwrap_or_else"];

/// Returns the names of all functions in the host's sources that return a pool.
pub fn functions_that_return_pools(sources: &[String], db: Database) -> BTreeSet<String> {
    let mut functions = Functions { db, known: BTreeMap::new() };
    for source in sources {
        if let Ok(file) = parse_rust(source) {
            functions.visit_file(&file);
        }
    }
    functions.known.into_iter().filter_map(|(name, returns_pool)| returns_pool.then_some(name)).collect()
}

/// Returns whether the sources mention a pool.
pub fn is_named_in(sources: &[String], db: Database) -> bool {
    sources.iter().any(|source| source.contains(pool_type(db)))
}

/// Returns the source with the pool passed to `with_accounts`, if exactly one pool is in scope there.
pub fn with_pool_passed(source: &str, functions: &BTreeSet<String>, db: Database) -> Option<String> {
    let file = parse_rust(source).ok()?;
    let mut finder = Finder { db, functions, scopes: Vec::new(), found: None };
    finder.visit_file(&file);
    let Found { name, arguments, pool } = finder.found?;
    let mut edits = vec![(name, WITH_ACCOUNTS_IN.to_owned())];
    let given = match &pool.kind {
        Kind::Borrowed => pool.name.clone(),
        Kind::Owned(from) if may_be_moved(&source[from.end..arguments.start], &pool.name) => {
            let line = source[..from.start].rfind('\n').map_or(0, |at| at + 1);
            let indent: String = source[line..].chars().take_while(|c| c.is_whitespace() && *c != '\n').collect();
            let own = format!("\n{indent}let {OWN_NAME} = {}.clone();", pool.name);
            edits.push((from.end..from.end, own));
            format!("&{OWN_NAME}")
        }
        Kind::Owned(_) => format!("&{}", pool.name),
    };
    let end = arguments.end..arguments.end;
    edits.push((end, format!(", {given}")));
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut changed = source.to_owned();
    edits.into_iter().for_each(|(range, text)| changed.replace_range(range, &text));
    Some(changed)
}

/// Returns whether a variable might be moved in these lines. If in doubt, it is copied, which does no harm.
fn may_be_moved(lines: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = |word: &str| {
        let at = lines.match_indices(word).map(|(at, _)| at).collect::<Vec<_>>();
        let length = word.len();
        at.into_iter().filter(move |at| !lines[..*at].ends_with(is_word) && !lines[at + length..].starts_with(is_word))
    };
    let is_borrowed = |at: usize| {
        let (before, after) = (lines[..at].trim_end(), lines[at + name.len()..].trim_start());
        before.ends_with(['&', '.']) || after.starts_with('.')
    };
    words("move").next().is_some() || words(name).any(|at| !is_borrowed(at))
}

struct Found {
    /// The last segment of the function's path.
    name: Range<usize>,
    /// Its arguments.
    arguments: Range<usize>,
    pool: Binding,
}

#[derive(Clone)]
struct Binding {
    name: String,
    kind: Kind,
    is_pool: bool,
}

#[derive(Clone)]
enum Kind {
    /// Bound by this statement.
    Owned(Range<usize>),
    Borrowed,
}

struct Finder<'a> {
    db: Database,
    functions: &'a BTreeSet<String>,
    scopes: Vec<Vec<Binding>>,
    found: Option<Found>,
}

impl Finder<'_> {
    fn enter(&mut self, signature: &Signature) {
        let parameters = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some((name_of(&typed.pat)?, &*typed.ty)),
            FnArg::Receiver(_) => None,
        });
        // An owned parameter could be moved before any statement could copy it.
        let bindings = parameters.map(|(name, ty)| {
            let is_pool = matches!(ty, Type::Reference(lent) if is_pool(&lent.elem, self.db));
            Binding { name, kind: Kind::Borrowed, is_pool }
        });
        self.scopes = vec![bindings.collect()];
    }

    fn binding(&self, local: &Local) -> Option<Binding> {
        let init = local.init.as_ref().map(|init| &*init.expr);
        let (name, is_pool) = match &local.pat {
            Pat::Type(typed) => (name_of(&typed.pat)?, is_pool(&typed.ty, self.db)),
            pat => (name_of(pat)?, init.is_some_and(|init| self.returns_pool(init))),
        };
        Some(Binding { name, kind: Kind::Owned(local.span().byte_range()), is_pool })
    }

    fn returns_pool(&self, init: &Expr) -> bool {
        match init {
            Expr::Await(waited) => self.returns_pool(&waited.base),
            Expr::Try(tried) => self.returns_pool(&tried.expr),
            Expr::MethodCall(call) if UNWRAPPED_BY.iter().any(|name| call.method == name) => {
                self.returns_pool(&call.receiver)
            }
            Expr::MethodCall(call) => {
                call.method.to_string().starts_with("connect")
                    && code(&call.receiver).contains(&format!("{}Options::", pool_type(self.db)))
            }
            Expr::Call(call) => {
                let path = code(&call.func);
                let last = path.rsplit("::").next().unwrap_or(&path);
                path.contains(&format!("{}::connect", pool_type(self.db))) || self.functions.contains(last)
            }
            _ => false,
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let outer = std::mem::take(&mut self.scopes);
        self.enter(&function.sig);
        visit::visit_item_fn(self, function);
        self.scopes = outer;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        let outer = std::mem::take(&mut self.scopes);
        self.enter(&function.sig);
        visit::visit_impl_item_fn(self, function);
        self.scopes = outer;
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.scopes.push(Vec::new());
        for statement in &block.stmts {
            visit::visit_stmt(self, statement);
            if let Stmt::Local(local) = statement
                && let (Some(binding), Some(scope)) = (self.binding(local), self.scopes.last_mut())
            {
                scope.push(binding);
            }
        }
        self.scopes.pop();
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let (Expr::Path(path), 1) = (&*call.func, call.args.len())
            && let Some(last) = path.path.segments.last().filter(|last| last.ident == WITH_ACCOUNTS)
        {
            let mut seen: BTreeMap<&str, &Binding> = BTreeMap::new();
            for binding in self.scopes.iter().flatten() {
                seen.insert(&binding.name, binding);
            }
            let pools: Vec<&&Binding> = seen.values().filter(|binding| binding.is_pool).collect();
            if let [pool] = pools[..] {
                let arguments = call.args.span().byte_range();
                self.found = Some(Found { name: last.ident.span().byte_range(), arguments, pool: (*pool).clone() });
            }
        }
        visit::visit_expr_call(self, call);
    }
}

/// Whether each function returns a pool, or a result with one.
struct Functions {
    db: Database,
    known: BTreeMap<String, bool>,
}

impl Functions {
    fn add(&mut self, signature: &Signature) {
        let returns_pool = match &signature.output {
            ReturnType::Type(_, ty) => is_pool(ty, self.db) || inside(ty).is_some_and(|ty| is_pool(ty, self.db)),
            ReturnType::Default => false,
        };
        let known = self.known.entry(signature.ident.to_string()).or_insert(returns_pool);
        *known &= returns_pool;
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig);
    }
}

/// Returns `T` of `Result<T, …>`.
fn inside(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.first().and_then(|first| if let GenericArgument::Type(ty) = first { Some(ty) } else { None })
}

fn pool_type(db: Database) -> &'static str {
    match db {
        Database::Sqlite => "SqlitePool",
        Database::Postgres => "PgPool",
    }
}

fn is_pool(ty: &Type, db: Database) -> bool {
    let ty = code(ty).replace("sqlx::", "");
    let generic = if db == Database::Sqlite { "Pool<Sqlite>" } else { "Pool<Postgres>" };
    ty == pool_type(db) || ty == generic
}

fn name_of(pat: &Pat) -> Option<String> {
    match pat {
        Pat::Ident(ident) => Some(ident.ident.to_string()),
        _ => None,
    }
}

/// Returns tokens without white space.
fn code(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(body: &str) -> Option<String> {
        let source =
            format!("async fn main() {{\n    {body}\n    let app = crate::auth::with_accounts(app).await?;\n}}\n");
        let functions = functions_that_return_pools(
            &["async fn open() -> anyhow::Result<SqlitePool> { todo!() }".to_owned()],
            Database::Sqlite,
        );
        with_pool_passed(&source, &functions, Database::Sqlite)
    }

    #[test]
    fn a_pool_in_scope_is_passed_to_accounts() {
        for pool in [
            "let pool = SqlitePool::connect(\"sqlite://a.db\").await?;",
            "let pool = sqlx::SqlitePool::connect_with(options).await.expect(\"a database\");",
            "let pool = SqlitePoolOptions::new().max_connections(5).connect(&url).await.context(\"no database\")?;",
            "let pool: sqlx::Pool<sqlx::Sqlite> = database().await;",
            "let pool = crate::db::open().await?;",
            "let pool = open().await?; migrate(&pool).await?; let app = router(pool.clone());",
        ] {
            let changed = changed(pool).unwrap_or_else(|| panic!("{pool}"));
            assert!(changed.contains("crate::auth::with_accounts_in(app, &pool).await?"), "{changed}");
        }
    }

    #[test]
    fn a_pool_that_is_moved_before_is_cloned_first() {
        for app in [
            "let app = Router::new().with_state(pool);",
            "let state = AppState { pool };",
            "spawn(async move { pool.size() });",
        ] {
            let changed = changed(&format!("let pool = open().await?;\n    {app}")).unwrap_or_else(|| panic!("{app}"));
            let copied = "    let pool = open().await?;\n    let accounts_pool = pool.clone();\n";
            assert!(changed.contains(copied) && changed.contains("with_accounts_in(app, &accounts_pool)"), "{changed}");
        }
    }

    #[test]
    fn an_ambiguous_pool_is_not_passed() {
        for body in [
            "let app = Router::new();",
            "let pool = PgPool::connect(\"postgres://localhost\").await?;",
            "let pool = Arc::new(SqlitePool::connect(\"sqlite://a.db\").await?);",
            "let a = open().await?; let b = open().await?;",
            "{ let pool = open().await?; }",
            "let pool = open().await?; let pool = 1;",
        ] {
            assert_eq!(changed(body), None, "{body}");
        }
        let parameter = "async fn serve(pool: &SqlitePool, app: Router) { auth::with_accounts(app).await }";
        let changed = with_pool_passed(parameter, &BTreeSet::new(), Database::Sqlite).expect("a pool");
        assert!(changed.contains("auth::with_accounts_in(app, pool).await"), "{changed}");
    }
}
