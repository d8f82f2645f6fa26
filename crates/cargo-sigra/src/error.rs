//! All that can go wrong. Every message says what to do.

use crate::{
    completions::CompletionsError, generate::GenerateError, git::GitError, manifest::ManifestError, names::NameError,
    new::NewError, questions::QuestionError, routes::RoutesError, secret::SecretError,
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
    Git(#[from] GitError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Routes(#[from] RoutesError),
    #[error(transparent)]
    Completions(#[from] CompletionsError),
    #[error("`--sigra-path {path}` is no checkout of the library: {error}")]
    SigraPath { path: std::path::PathBuf, error: std::io::Error },
}
