//! The pages that visitors are redirected to.

use std::borrow::Cow;

/// A page that visitors are redirected to, and the flash message that it shows.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub path: Cow<'static, str>,
    /// It is called within the request, so that the message can be in the language of the visitor.
    pub message: fn() -> &'static str,
}

impl Page {
    pub fn new(path: impl Into<Cow<'static, str>>, message: fn() -> &'static str) -> Self {
        Self { path: path.into(), message }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub login: Page,
    pub sudo: Page,
    /// The message of the sudo page after a form was submitted.
    pub sudo_form_message: fn() -> &'static str,
    pub mfa_challenge: Page,
    pub mfa_enrollment: Page,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            login: Page::new("/users/log-in", || "You must log in to access this page."),
            sudo: Page::new("/users/sudo", || "You must confirm it's you to access this page."),
            sudo_form_message: || "Confirm it's you to continue, then send the form again.",
            mfa_challenge: Page::new(
                "/users/mfa-challenge",
                || "You must present your second factor to access this page.",
            ),
            mfa_enrollment: Page::new("/users/settings/mfa", || "You must set up a second factor to access this page."),
        }
    }
}
