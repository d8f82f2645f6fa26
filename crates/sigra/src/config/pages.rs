//! The pages that visitors are redirected to.

use std::{borrow::Cow, fmt, sync::Arc};

/// The flash message of a page that visitors are redirected to: a text, or a function that returns one. The function is
/// called within the request, so that the text can be in the language of the visitor.
///
/// ```
/// use sigra::Config;
///
/// fn configure(config: Config, name: String) -> Config {
///     config
///         .login_page("/log-in", "Log in to continue.")
///         .sudo_page("/sudo", move || format!("{name} needs to know that it's you."))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the message of a page",
    label = "pass a `&'static str`, or a function that returns a text: `move || text.clone()`"
)]
pub trait PageMessage: sealed::Sealed {}

impl PageMessage for &'static str {}

impl<F, T> PageMessage for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Into<Cow<'static, str>>,
{
}

mod sealed {
    use std::{borrow::Cow, sync::Arc};

    use super::Message;

    pub trait Sealed {
        fn into_message(self) -> Message;
    }

    impl Sealed for &'static str {
        fn into_message(self) -> Message {
            Message(Arc::new(move || self.into()))
        }
    }

    impl<F, T> Sealed for F
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Into<Cow<'static, str>>,
    {
        fn into_message(self) -> Message {
            Message(Arc::new(move || self().into()))
        }
    }
}

/// A message that is written when it is shown.
#[derive(Clone)]
pub struct Message(Arc<dyn Fn() -> Cow<'static, str> + Send + Sync>);

impl Message {
    pub(crate) fn of(message: impl PageMessage) -> Self {
        message.into_message()
    }

    /// Returns the text. Call it within the request.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        (self.0)()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").finish_non_exhaustive()
    }
}

/// A page that visitors are redirected to, and the flash message that it shows.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub path: Cow<'static, str>,
    pub message: Message,
}

impl Page {
    pub fn new(path: impl Into<Cow<'static, str>>, message: impl PageMessage) -> Self {
        Self { path: path.into(), message: Message::of(message) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub login: Page,
    pub sudo: Page,
    /// The message of the sudo page after a form was submitted.
    pub sudo_form_message: Message,
    pub mfa_challenge: Page,
    pub mfa_enrollment: Page,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            login: Page::new("/users/log-in", "You must log in to access this page."),
            sudo: Page::new("/users/sudo", "You must confirm it's you to access this page."),
            sudo_form_message: Message::of("Confirm it's you to continue, then send the form again."),
            mfa_challenge: Page::new(
                "/users/mfa-challenge",
                "You must present your second factor to access this page.",
            ),
            mfa_enrollment: Page::new("/users/settings/mfa", "You must set up a second factor to access this page."),
        }
    }
}
