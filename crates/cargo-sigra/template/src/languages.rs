//! Texts in the language of the person who reads them.
//!
//! English texts are in the code, and they are the keys: `t!("Log in")` is that text in the current language. Each file
//! in `locales/` translates all of them into another language.

mod accept;
mod current;
mod error;
mod language;
mod text;

pub use self::{
    accept::from_accept_language,
    current::{current, switch_to, with_current_language, with_language, with_language_sync},
    error::LanguageError,
    language::{ENGLISH, Language, all, check, find},
    text::{interpolate, translate, translate_plural},
};
// <pages>
pub use self::text::split_at_value;
// </pages>

/// Returns a text in the current language, with values for the names in braces:
///
/// ```ignore
/// t!("Log in")
/// t!("Log in on this device as {email}?", email = user.email)
/// t!("You have {left} backup code left.", "You have {left} backup codes left.", left)
/// ```
///
/// Of two texts, the first value decides which one: the first text is for 1, the second for all other numbers.
/// Languages with more forms have them all in their file.
macro_rules! t {
    (@value $name:ident) => { $name };
    (@value $name:ident $value:expr) => { $value };
    ($text:literal $(,)?) => { $crate::languages::translate($text) };
    ($one:literal, $many:literal, $count:ident $(= $number:expr)? $(, $name:ident $(= $value:expr)?)* $(,)?) => {{
        let number = t!(@value $count $($number)?);
        let text = $crate::languages::translate_plural($one, $many, number);
        $crate::languages::interpolate(text, &[
            (stringify!($count), &number as &dyn ::std::fmt::Display),
            $((stringify!($name), &t!(@value $name $($value)?) as &dyn ::std::fmt::Display)),*
        ])
    }};
    ($text:literal, $($name:ident $(= $value:expr)?),+ $(,)?) => {
        $crate::languages::interpolate($crate::languages::translate($text), &[
            $((stringify!($name), &t!(@value $name $($value)?) as &dyn ::std::fmt::Display)),+
        ])
    };
}

// <pages>
/// Returns what comes before the only value of a text, to put markup around the value. [`after`] returns the rest:
///
/// ```html
/// {{ before!("Type {email} to continue") }}<strong>{{ email }}</strong>{{ after!("Type {email} to continue") }}
/// ```
macro_rules! before {
    ($text:literal) => {
        $crate::languages::split_at_value($text).0
    };
}

/// Returns what comes after the only value of a text. See [`before`].
macro_rules! after {
    ($text:literal) => {
        $crate::languages::split_at_value($text).1
    };
}
// </pages>

#[cfg(test)]
mod tests {
    #[test]
    fn english_has_one_form_for_1_and_one_for_all_other_numbers() {
        let codes = |count: u32| t!("{count} code", "{count} codes", count);
        assert_eq!([0, 1, 2].map(codes), ["0 codes", "1 code", "2 codes"]);
    }
}
