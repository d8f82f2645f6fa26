//! The end of an installation: prints what was written, and the next steps.

use serde::Serialize;

use super::{prepare::Installation, shadowed_routes::ShadowedRoutes};
use crate::{
    host::{edits::Edit, package::Host, serve::Survey},
    manifest,
    plan::{
        Plan,
        choices::{Choices, Database},
    },
    render::{files, module},
    system::{
        git,
        terminal::{self, STRONG, WARNING, styled},
    },
};

/// The result as JSON.
#[derive(Serialize)]
pub struct Report<'a> {
    dry_run: bool,
    choices: Choices,
    created: Vec<&'a str>,
    changed: Vec<&'a str>,
    warnings: &'a [String],
    /// What is left for the host to do.
    advice: Vec<String>,
    /// The commands to run next.
    next: Vec<String>,
}

impl<'a> Report<'a> {
    pub fn of(installation: &'a Installation, dry_run: bool) -> Self {
        let Installation { plan, survey, .. } = installation;
        let paths = |edits: &'a [Edit]| edits.iter().map(|edit| edit.path.as_str()).collect();
        Self {
            dry_run,
            choices: plan.choices,
            created: paths(&installation.created),
            changed: paths(&installation.edits),
            warnings: &installation.warnings,
            advice: installation.advice.map(str::to_owned).into_iter().chain(survey.advice()).collect(),
            next: next_commands(plan, survey),
        }
    }
}

/// Prints what was written, or would be, and the next steps.
pub fn print(installation: &Installation, dry_run: bool) {
    let Installation { plan, survey, created, edits, is_first, .. } = installation;
    for warning in &installation.warnings {
        anstream::println!("{} {warning}\n", styled(WARNING, "warning:"));
    }
    if *is_first {
        let done = if dry_run { "Would install" } else { "Installed" };
        anstream::println!("{} accounts: {}\n", styled(STRONG, done), plan.choices.in_words());
    }
    list(created, edits, *is_first);
    if dry_run {
        show_changes(created, edits);
    } else if *is_first {
        plan.sigra.print_note();
    }
    if let Some(advice) = installation.advice {
        anstream::println!("\n{advice}");
    }
    advise(&installation.host, survey, &installation.shadowed);
    if dry_run {
        anstream::println!("\nNothing was written. Run the same command without `--dry-run` to write it.");
    } else {
        explain(plan, survey, edits);
    }
}

/// Prints the files that were written.
fn list(created: &[Edit], edits: &[Edit], is_first: bool) {
    if created.is_empty() && edits.is_empty() {
        anstream::println!("Everything is already installed.");
    }
    for line in files::summary(created.iter().map(|edit| &edit.path)) {
        terminal::step("create", line);
    }
    if is_first {
        terminal::step("create", manifest::SUMMARY);
    }
    for edit in edits {
        terminal::step("change", &edit.path);
    }
}

/// Prints what changes in the host's own files and in its database. The rest is new files, thousands of lines.
fn show_changes(created: &[Edit], edits: &[Edit]) {
    let migrations = created.iter().filter(|edit| edit.path.ends_with(".sql"));
    let shown: Vec<&Edit> = edits.iter().chain(migrations).collect();
    if !shown.is_empty() {
        anstream::println!();
    }
    shown.into_iter().for_each(Edit::print_diff);
}

/// Prints what is left for the host to do.
fn advise(host: &Host, survey: &Survey, shadowed: &[ShadowedRoutes]) {
    for paragraph in survey.advice() {
        anstream::println!("\n{paragraph}");
    }
    if git::tracks(&host.root, ".env") {
        anstream::println!(
            "\n{} git tracks `.env`, so its secrets are in the repository. Unless they are only examples, run `git rm --cached .env` \
             and add `.env` to .gitignore",
            styled(WARNING, "warning:")
        );
    }
    for ShadowedRoutes { served, routes, .. } in shadowed {
        for route in routes {
            anstream::println!("\n{} accounts now serve {served}, in place of {route}", styled(WARNING, "warning:"));
        }
    }
}

/// Prints how to use what was installed.
fn explain(plan: &Plan, survey: &Survey, edits: &[Edit]) {
    let plural = &plan.users.plural;
    if let Some((path, line)) = changed_line(edits) {
        anstream::println!("\nAccounts were added to the router that {path}:{line} serves.");
    }
    anstream::println!("\nThe arguments of a handler decide who can call it:\n");
    print_code(&handler(&survey.module_path(), &plan.users.singular));
    anstream::println!(
        "\nWith `Option<Scope<{}>>` visitors can call it too. Links for your own pages:\n",
        plan.users.singular
    );
    print_code(&links(plural));
    anstream::println!(
        "\nYour own routes still accept requests from every origin. A handler with a scope returns 403 to forms and scripts \
         from other origins. List yours in {}.",
        styled(STRONG, "TRUSTED_ORIGINS")
    );
    anstream::println!(
        "\nWithout {app_env}, accounts don't start: set it to `dev` on your own machine, in the environment or in `.env`, to `test` \
         in tests, and to `prod` where others can reach your application. In `dev`, anyone who reaches it can read all emails.",
        app_env = styled(STRONG, "APP_ENV")
    );
    anstream::println!(
        "\nIf your application already uses a setting, such as `APP_ENV`, set {} for accounts instead.",
        styled(STRONG, format!("{}APP_ENV", module::prefix(plan.module.as_deref().unwrap_or_default())))
    );
    if plan.port.is_none() {
        anstream::println!(
            "\nLinks in emails begin with http://localhost:4000: set {} if your router is served somewhere else.",
            styled(STRONG, "PUBLIC_URL")
        );
    }
    terminal::next_commands(&next_commands(plan, survey));
    let path = format!("/{plural}/register");
    // Browsers support passkeys on `localhost`, but not on an IP address.
    match plan.port.filter(|_| survey.has_program()) {
        Some(port) => anstream::println!(
            "\nOpen {} in a browser. In development, emails are kept at http://localhost:{port}/{plural}/dev/mailbox.",
            styled(STRONG, format!("http://localhost:{port}{path}"))
        ),
        None => anstream::println!("\nOpen {} where your application listens.", styled(STRONG, path)),
    }
}

/// Returns where accounts were added to a router.
fn changed_line(edits: &[Edit]) -> Option<(&str, usize)> {
    edits.iter().filter(|edit| edit.path.ends_with(".rs")).find_map(|edit| {
        let line = edit
            .text()?
            .lines()
            .position(|line| line.contains("::with_accounts(") || line.contains("::with_accounts_in("))?;
        Some((edit.path.as_str(), line + 1))
    })
}

fn print_code(code: &str) {
    for line in code.lines() {
        anstream::println!("{}", if line.is_empty() { String::new() } else { format!("    {line}") });
    }
}

/// Returns the shortest handler that uses the logged-in user.
fn handler(module: &str, user: &str) -> String {
    format!(
        "use {module}::accounts::{user};\nuse sigra::Scope;\n\nasync fn hello(scope: Scope<{user}>) -> String {{\n    \
         format!(\"Hello, {{}}!\", scope.user().email)\n}}\n"
    )
}

fn links(plural: &str) -> String {
    format!(
        "<a href=\"/{plural}/log-in\">Log in</a>\n<a href=\"/{plural}/settings\">Settings</a>\n\
         <form method=\"post\" action=\"/{plural}/log-out\">\n  <input type=\"hidden\" name=\"_method\" value=\"delete\">\n  \
         <button>Log out</button>\n</form>\n"
    )
}

fn next_commands(plan: &Plan, survey: &Survey) -> Vec<String> {
    let mut commands = Vec::new();
    if plan.choices.db == Database::Postgres {
        commands.push("export DATABASE_URL=postgres://user:password@localhost/database".to_owned());
    }
    // Another package runs a library.
    if survey.has_program() {
        commands.push("APP_ENV=dev cargo run".to_owned());
    }
    commands.push("cargo sigra routes".to_owned());
    commands
}
