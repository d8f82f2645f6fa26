//! Why a file of translations can't be used.

/// A file in `locales/` that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read `locales/{path}`: {mistake}")]
pub struct LanguageError {
    pub(super) path: String,
    pub(super) mistake: String,
}
