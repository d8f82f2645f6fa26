//! The emails that were sent, to read in development. Production doesn't have this page.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::Problem;
// <pages>
use askama::Template;
use axum::http::HeaderMap;
use sigra::{Audience, CookieSession};

use super::layout::{Layout, Page};
// </pages>
use crate::accounts::Accounts;

// <pages>
#[derive(Template)]
#[template(path = "mailbox.html")]
struct MailboxPage {
    layout: Layout,
    mails: Vec<Letter>,
}
// </pages>

/// An email.
#[derive(Serialize)]
struct Letter {
    to: String,
    subject: String,
    text: String,
    // <pages>
    /// The text, split into links and other text.
    #[serde(skip)]
    parts: Vec<Part>,
    // </pages>
}

// <pages>
struct Part {
    text: String,
    is_link: bool,
}
// </pages>

/// Lists the emails, newest first.
pub async fn index(
    State(accounts): State<Accounts>,
    // <pages>
    session: CookieSession,
    headers: HeaderMap,
    // </pages>
) -> Response {
    accounts.mailer().settle().await;
    let Some(mailbox) = accounts.mailer().mailbox() else {
        return Problem::new(axum::http::StatusCode::NOT_FOUND).into_response();
    };
    let mails: Vec<Letter> = mailbox.mails().into_iter().rev().map(letter).collect();
    // <pages>
    if Audience::of(&headers) == Audience::Browser {
        return Page(MailboxPage { layout: Layout::new("Mailbox", &session, None), mails }).into_response();
    }
    // </pages>
    Json(mails).into_response()
}

fn letter(mail: sigra::mail::Mail) -> Letter {
    Letter {
        // <pages>
        parts: parts(&mail.text),
        // </pages>
        to: mail.to,
        subject: mail.subject,
        text: mail.text,
    }
}

// <pages>
fn parts(text: &str) -> Vec<Part> {
    let words = text.split_inclusive(char::is_whitespace);
    let parts = words.flat_map(|word| {
        let (text, space) = word.split_at(word.trim_end().len());
        [
            Part { text: text.to_owned(), is_link: text.starts_with("http") },
            Part { text: space.to_owned(), is_link: false },
        ]
    });
    parts.collect()
}
// </pages>
