//! All that can go wrong. Every message says what to do.

use crate::{
    completions::CompletionsError,
    doctor::DoctorError,
    edits::EditError,
    generate::GenerateError,
    git::GitError,
    host::HostError,
    install::{DatabaseError, DependencyError, InstallError, MigrationError, RequirementError, ServeError},
    manifest::ManifestError,
    names::NameError,
    new::NewError,
    questions::QuestionError,
    routes::RoutesError,
    sigra_source::SigraSourceError,
    taken::TakenError,
    template::TemplateError,
    trial::TrialError,
    upgrade::UpgradeError,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Taken(#[from] TakenError),
    #[error(transparent)]
    Template(#[from] TemplateError),
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
    SigraSource(#[from] SigraSourceError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Serve(#[from] ServeError),
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
