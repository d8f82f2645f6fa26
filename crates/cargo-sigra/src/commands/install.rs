//! `cargo sigra install`: adds accounts to an existing application.

mod closing;
mod error;
mod prepare;
mod shadowed_routes;

use self::{closing::Report, error::InstallError, prepare::Prepared};
use crate::{cli::arguments::Install, system::json};

pub fn run(args: &Install) -> Result<(), InstallError> {
    let prepared = Prepared::of(args)?;
    let installation = if args.dry_run { prepared.installation } else { prepared.write()? };
    if args.json {
        return Ok(json::print(&Report::of(&installation, args.dry_run))?);
    }
    closing::print(&installation, args.dry_run);
    Ok(())
}
