//! All that can go wrong. Every message says what to do.

use crate::{
    cargo_toml::SigraPathError,
    completions::CompletionsError,
    doctor::DoctorError,
    edits::EditError,
    generate::GenerateError,
    git::GitError,
    host::HostError,
    install::{DependencyError, InstallError, MigrationError},
    manifest::ManifestError,
    names::NameError,
    new::NewError,
    questions::QuestionError,
    routes::RoutesError,
    trial::TrialError,
    upgrade::UpgradeError,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    New(#[from] NewError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
    #[error(transparent)]
    Routes(#[from] RoutesError),
    #[error(transparent)]
    Completions(#[from] CompletionsError),
    #[error(transparent)]
    SigraPath(#[from] SigraPathError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
}
