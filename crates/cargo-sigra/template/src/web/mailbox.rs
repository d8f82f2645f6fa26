//! The emails that were sent, to read in development. Production doesn't have these pages.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sigra::{Problem, mail::Mail};
// <pages>
use askama::Template;
use axum::{
    extract::{Path, Query},
    http::{HeaderMap, HeaderName},
    response::Html,
};
use serde::Deserialize;
use sigra::{ClientKind, CookieSession};

use super::{
    error::{NOT_FOUND, Result},
    layout::{Layout, Page},
    security_headers,
};
// </pages>
use crate::accounts::Accounts;

// <pages>
const POLICY: HeaderName = HeaderName::from_static("content-security-policy");

/// The policy of an email's HTML, which the page shows in a frame. It runs no scripts. Its links replace the whole
/// page.
const HTML_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; \
     frame-ancestors 'self'; sandbox allow-top-navigation-by-user-activation";

#[derive(Template)]
#[template(path = "mailbox.html")]
struct MailboxPage {
    layout: Layout,
    /// Newest first.
    mails: Vec<SentMail>,
    /// Which email is open, counted from the newest.
    open: usize,
    shows_text: bool,
}

impl MailboxPage {
    /// Returns the number of an email in URLs: it counts from the oldest, and stays when others arrive.
    fn number(&self, place: &usize) -> usize {
        self.mails.len() - 1 - place
    }

    /// Returns the open email.
    fn open_mail(&self) -> Option<&SentMail> {
        self.mails.get(self.open)
    }
}

/// The email to open instead of the newest, and whether to show its text instead of its HTML.
#[derive(Deserialize)]
pub struct MailboxQuery {
    mail: Option<usize>,
    #[serde(default)]
    text: bool,
}

/// A part of a text.
struct Part<'a> {
    text: &'a str,
    is_link: bool,
}
// </pages>

/// An email.
#[derive(Serialize)]
struct SentMail {
    to: String,
    subject: String,
    text: String,
    html: Option<String>,
}

// <pages>
impl SentMail {
    /// Returns the text, split into links and other text.
    fn parts(&self) -> Vec<Part<'_>> {
        let words = self.text.split_inclusive(char::is_whitespace);
        let parts = words.flat_map(|word| {
            let (text, space) = word.split_at(word.trim_end().len());
            [Part { text, is_link: text.starts_with("http") }, Part { text: space, is_link: false }]
        });
        parts.collect()
    }
}
// </pages>

/// Lists the emails, newest first.
pub async fn index(
    State(accounts): State<Accounts>,
    // <pages>
    Query(query): Query<MailboxQuery>,
    session: CookieSession,
    headers: HeaderMap,
    // </pages>
) -> Response {
    let Some(mails) = sent_mails(&accounts).await else {
        return Problem::new(axum::http::StatusCode::NOT_FOUND).into_response();
    };
    let mails: Vec<SentMail> = mails.into_iter().rev().map(sent_mail).collect();
    // <pages>
    if ClientKind::of(&headers) == ClientKind::Browser {
        return page(mails, &query, &session);
    }
    // </pages>
    Json(mails).into_response()
}

/// Returns all emails, oldest first. `None` if they aren't kept in memory.
async fn sent_mails(accounts: &Accounts) -> Option<Vec<Mail>> {
    accounts.mailer().settle().await;
    Some(accounts.mailer().mailbox()?.mails())
}

fn sent_mail(mail: Mail) -> SentMail {
    SentMail { to: mail.to, subject: mail.subject, text: mail.text, html: mail.html }
}

// <pages>
fn page(mails: Vec<SentMail>, query: &MailboxQuery, session: &CookieSession) -> Response {
    let chosen = query.mail.and_then(|number| mails.len().checked_sub(number.saturating_add(1)));
    let layout = Layout::new(t!("Mailbox"), session, None);
    let page = MailboxPage { layout, mails, open: chosen.unwrap_or_default(), shows_text: query.text };
    let policy = format!("{}; frame-src 'self'", security_headers::policy("'self'"));
    ([(POLICY, policy)], Page(page)).into_response()
}

/// Shows the HTML of an email, in the frame of the page.
pub async fn html(State(accounts): State<Accounts>, Path(number): Path<usize>) -> Result<Response> {
    let mails = sent_mails(&accounts).await.unwrap_or_default();
    let html = mails.into_iter().nth(number).and_then(|mail| mail.html).ok_or(NOT_FOUND)?;
    let html = html.replacen("<head>", "<head><base target=\"_top\">", 1);
    let may_be_framed = (HeaderName::from_static("x-frame-options"), "SAMEORIGIN");
    Ok(([(POLICY, HTML_POLICY), may_be_framed], Html(html)).into_response())
}
// </pages>
